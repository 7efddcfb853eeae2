"""Check data, evaluation, weights and model of a config.

Data sets are read, classes compared by name, the truth is fed as predictions
through the evaluator, a batch is drawn as the model sees it, weights are
loaded, the optimizer is tried, and eight samples are learnt by heart on a
small copy of the model. The exit status is 1 if a check fails.
"""

import argparse
import contextlib
import io
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.data.wrappers import inner_datasets
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config
from swin_dense.preflight import (
    classes,
    evaluator,
    learning,
    picture,
    settings,
    targets,
    weights,
)
from swin_dense.preflight.context import SPLITS, Context
from swin_dense.preflight.results import (
    FAILED,
    Check,
    CheckFailedError,
    Finding,
    Result,
    run_checks,
    to_json,
    verdict,
)
from swin_dense.wording import counted, suggest_name

# Commands that check the data sets of a task; they also take folders and
# lists, for which there is no config.
DATA_CHECKS = {
    'segmentation': 'swin_dense.commands.check_label_maps',
    'video': 'swin_dense.commands.check_videos',
}


def check_data(context: Context) -> Finding:
    """Check all data sets of a config.

    Raises:
        CheckFailedError: If there are problems.
    """
    command = DATA_CHECKS.get(context.task.name)
    lines = _run_command(command, context) if command else _build_all(context)
    problems = [line for line in lines if 'problem: ' in line]
    if problems:
        raise CheckFailedError(counted(len(problems), 'problem'), lines)
    return Finding('no problems', lines)


def _run_command(name: str, context: Context) -> list[str]:
    """Run the command that checks a task's data; return what it prints."""
    command: Any = import_module(name)
    options = command.make_parser().parse_args([context.source])
    options.cfg_options = context.cfg_options
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command.check(options)
    return printed.getvalue().splitlines()


def _build_all(context: Context) -> list[str]:
    """Build each data set of a detector; return a line for each problem.

    A data set stops at its first kind of problem, which lists all its cases.
    """
    lines = []
    checked: list[Any] = []
    for split in SPLITS:
        described = context.settings(split)
        if not described or described in checked:
            continue
        checked.append(described)
        try:
            dataset = context.dataset(split)
        except (ValueError, OSError) as error:
            lines.append(f'{split}: problem: {cli.printable(str(error))}')
            continue
        unchecked = {
            type(inner).__name__
            for inner in inner_datasets(dataset)
            if not hasattr(inner, 'check_split')
        }
        lines += [
            f'{split}: note: {name} does not check annotations; use '
            'swin_dense.CheckedCocoDataset'
            for name in sorted(unchecked)
        ]
    return lines


CHECKS = (
    Check('settings', settings.check),
    Check('data', check_data, logs=True),
    Check('classes', classes.check, ('data',)),
    Check('evaluator', evaluator.check, ('data', 'classes')),
    Check('picture', picture.check, ('data',)),
    Check('weights', weights.check, ('data',)),
    Check('targets', targets.check, ('data',)),
    Check('rate', learning.check_rate, ('data', 'targets')),
    Check('learning', learning.check, ('data', 'targets')),
)
NAMES = [check.name for check in CHECKS]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense check mask_rcnn_swin_t_coco')
    cli.add_config_argument(parser)
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='NAME',
        help=f'run only these checks, of {", ".join(NAMES)}',
    )
    parser.add_argument(
        '--skip', nargs='+', default=(), metavar='NAME', help='leave out these'
    )
    parser.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for report.txt, report.json and batch.png (default: '
        'check, in the work folder of the config)',
    )
    cli.add_config_arguments(parser)
    return parser


def check(args: argparse.Namespace) -> int:
    """Check a config; return 1 if a check fails.

    Raises:
        ValueError: If the config is a folder or a list of files, or there is
            no check of a name.
    """
    suffix = os.path.splitext(args.config)[1]
    if os.path.isdir(args.config) or suffix in ('.txt', '.csv'):
        raise ValueError(
            f'{args.config} is not a config. `swin-dense check-label-maps` '
            'checks a folder of label maps, `swin-dense check-videos` a list '
            'or a folder of clips'
        )
    config = load_config(args.config, args.cfg_options)
    chosen = choose(args.only, args.skip)
    results = run_preflight(
        config,
        chosen,
        out=args.out,
        source=args.config,
        cfg_options=args.cfg_options,
        debug=args.debug,
    )
    return int(any(result.status == FAILED for result in results))


def choose(only: Sequence[str] | None, skip: Sequence[str]) -> list[Check]:
    """Return the checks of some names, in their order.

    Raises:
        ValueError: If there is no check of a name.
    """
    for name in (*(only or ()), *skip):
        if name not in NAMES:
            raise ValueError(
                f'there is no check {name!r}; {suggest_name(name, NAMES)}'
            )
    return [
        check
        for check in CHECKS
        if (not only or check.name in only) and check.name not in skip
    ]


def run_preflight(
    config: Config,
    checks: Sequence[Check],
    *,
    source: str,
    cfg_options: dict[str, Any] | None,
    out: Path | None = None,
    debug: bool = False,
) -> list[Result]:
    """Run checks; print and write the report.

    Args:
        config: The config.
        checks: The checks.
        source: File or name of the config, for the report.
        cfg_options: Settings that were changed in it.
        out: Folder for the report; by default that in the work folder.
        debug: If True, errors that nobody expects are raised.
    """
    out = out or Path(config.work_dir, 'check')
    context = Context(config, source, cfg_options, out, debug)
    lines: list[str] = []

    def say(text: str) -> None:
        print(text, flush=True)
        lines.append(text)

    results = run_checks(checks, context, lambda r: say(r.text()))
    say(verdict(results))
    cli.write_bytes(out / 'report.txt', '\n'.join([*lines, '']).encode())
    cli.write_json(
        out / 'report.json', to_json(source, context.task.name, results)
    )
    print(f'report: {out}')
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(check, make_parser().parse_args(argv))
