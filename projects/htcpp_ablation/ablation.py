"""Train HTC++, HTC++ without each ingredient, and a cascade.

All train for the same number of iterations on generated shapes, with
`tools/train.py`. Runs in the results file are not repeated, so the command
can be stopped and repeated.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from swin_dense.engine import cli
from swin_dense.engine.compare_trainings import final_metrics, metric_cells
from swin_dense.engine.training_curves import read_scalars

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
HTCPP = REPOSITORY / 'configs' / 'htcpp_swin_nano_shapes.py'
CASCADE = HERE / 'cascade_nano_shapes_stuff.py'
WARM_UP = 60

ROI_HEAD = 'model.roi_head'
VARIANTS: dict[str, Sequence[str]] = {
    'cascade': (),
    'htcpp': (),
    'without semantic branch': (
        f'{ROI_HEAD}.semantic_head=None',
        'train_dataloader.dataset.data_prefix.seg=None'),
    'without mask information flow': (f'{ROI_HEAD}.mask_info_flow=False', ),
    'without interleaving': (f'{ROI_HEAD}.interleaved=False', ),
    'without global attention': ('model.neck.global_attention=None', ),
    'with moved objects': ('train_dataloader.dataset.pipeline.2.prob=0.5', ),
    'without soft-NMS': ('model.test_cfg.rcnn.nms.type=nms', ),
}  # fmt: skip
"""Variants and the settings by which they differ from their config."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'python projects/htcpp_ablation/ablation.py --seeds 0 1 2 '
        '--out results.json',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        choices=list(VARIANTS),
        metavar='VARIANT',
        default=list(VARIANTS),
        help='some of: ' + ', '.join(VARIANTS),
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--iters', type=int, default=1300, help='length of each training'
    )
    parser.add_argument(
        '--work-dir', default='work_dirs/htcpp_ablation', metavar='DIR'
    )
    parser.add_argument(
        '--out',
        default='work_dirs/htcpp_ablation/results.json',
        metavar='FILE.json',
    )
    cli.add_debug_argument(parser)
    return parser


def train(variant: str, seed: int, iters: int, work_dir: Path) -> dict:
    """Train a variant once.

    Returns:
        The final metrics and the median seconds of an iteration.

    Raises:
        OSError: If the training failed.
    """
    options = [
        *VARIANTS[variant],
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters}',
        f'param_scheduler.0.end={WARM_UP}',
        f'param_scheduler.1.begin={WARM_UP}',
        f'param_scheduler.1.end={iters}',
        f'param_scheduler.1.T_max={iters - WARM_UP}',
    ]
    command = [
        sys.executable,
        REPOSITORY / 'tools' / 'train.py',
        CASCADE if variant == 'cascade' else HTCPP,
        '--seed',
        seed,
        '--work-dir',
        work_dir,
        '--cfg-options',
        *options,
    ]
    status = subprocess.run([str(word) for word in command]).returncode
    if status:
        raise OSError(
            f'{variant}, seed {seed}: tools/train.py ended with '
            f'{status}; its log is in {work_dir}'
        )
    log = max(work_dir.glob('*/vis_data/scalars.json'))
    times = [row['time'] for row in read_scalars(work_dir) if 'loss' in row]
    return dict(final_metrics(work_dir), seconds=median(times), log=str(log))


def table(results: list[dict]) -> str:
    """Return a table of mean and spread (maximum - minimum) per variant."""
    lines = [
        '| variant | seeds | box AP | spread | mask AP | spread | s / iter |',
        '| --- | --: | --: | --: | --: | --: | --: |',
    ]
    for variant in VARIANTS:
        runs = [run for run in results if run['variant'] == variant]
        if not runs:
            continue
        cells = [variant, str(len(runs)), *metric_cells(runs)]
        cells.append(f'{mean(run["seconds"] for run in runs):.2f}')
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def compare(args: argparse.Namespace) -> int:
    """Run the missing trainings one after the other, and print the table."""
    if args.iters <= WARM_UP:
        raise ValueError(
            f'--iters {args.iters} must exceed the warm-up of {WARM_UP}'
        )
    out = Path(args.out)
    results = json.loads(out.read_text()) if out.exists() else []
    done = {(run['variant'], run['seed'], run['iters']) for run in results}
    for seed in args.seeds:
        for variant in args.only:
            if (variant, seed, args.iters) in done:
                continue
            folder = Path(
                args.work_dir,
                f'{variant.replace(" ", "_")}_{seed}_{args.iters}',
            )
            run = train(variant, seed, args.iters, folder)
            results.append(
                dict(run, variant=variant, seed=seed, iters=args.iters)
            )
            cli.write_json(out, results)
    print(table([run for run in results if run['iters'] == args.iters]))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(compare, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
