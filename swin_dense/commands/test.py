"""Evaluate a checkpoint on the test split of a config."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    enable_result_files,
    load_config,
)
from swin_dense.engine.run_log import foreign_warnings_to_file
from swin_dense.engine.show_hook import ShowHook
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, find_task
from swin_dense.engine.tta_config import add_tta


def _join(ratios: Sequence[float]) -> str:
    return ' '.join(map(str, ratios))


def _scale(text: str) -> tuple[int, int]:
    """Return width and height of text such as 1333x800.

    Raises:
        ValueError: If the text has another form.
    """
    width, _, height = text.partition('x')
    return int(width), int(height)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense test cascade_swin_b_coco weights.pth --out metrics.json',
    )
    cli.add_config_argument(parser)
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the metrics as JSON'
    )
    parser.add_argument(
        '--results',
        metavar='PREFIX',
        help='detection: also write predictions as PREFIX.bbox.json and '
        "PREFIX.segm.json, in the format of COCO's evaluation server",
    )
    parser.add_argument(
        '--format-only',
        action='store_true',
        help='with --results: do not evaluate, for images without annotations',
    )
    parser.add_argument(
        '--show-dir',
        metavar='DIR',
        help='detection and segmentation: write a picture of each image, '
        'truth beside prediction',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: merge the predictions of several '
        'scales, each also flipped',
    )
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        '--tta-ratios',
        type=float,
        nargs='+',
        default=(),
        metavar='RATIO',
        help='factors of the test scale (default: those of the config, or '
        f'{_join(SEGMENTATION.tta_ratios)} for segmentation and '
        f'{_join(DETECTION.tta_ratios)} for detection)',
    )
    several.add_argument(
        '--tta-scales',
        type=_scale,
        nargs='+',
        default=(),
        metavar='WIDTHxHEIGHT',
        help='test scales, such as 1333x800',
    )
    parser.add_argument(
        '--tta-no-flip', action='store_true', help='do not flip images'
    )
    cli.add_compile_argument(parser)
    cli.add_run_arguments(parser)
    return parser


def test(args: argparse.Namespace) -> int:
    """Evaluate and print the metrics; write them if `--out` is set.

    Raises:
        ValueError: If options do not fit together.
    """
    cfg = load_config(args.config, args.cfg_options)
    apply_command_line(
        cfg,
        work_dir=args.work_dir,
        load_from=args.checkpoint,
        compile_backbone=args.compile,
        launcher=args.launcher,
    )
    if args.results or args.format_only:
        enable_result_files(cfg, args.results, args.format_only)
    if args.tta:
        add_tta(
            cfg,
            args.tta_ratios,
            args.tta_scales,
            False if args.tta_no_flip else None,
        )
    elif args.tta_ratios or args.tta_scales or args.tta_no_flip:
        raise ValueError(
            '--tta-ratios, --tta-scales and --tta-no-flip need --tta: '
            'add --tta, or leave them out'
        )
    task = find_task(cfg)
    if args.show_dir and not (task and task.draw_pair):
        raise ValueError(
            '--show-dir is for detectors and segmentors; leave it out'
        )
    with foreign_warnings_to_file():
        runner = build_runner(cfg)
        if args.show_dir and task:
            draw = task.load('draw_pair')
            runner.register_hook(ShowHook(Path(args.show_dir), draw))
        runner.logs_load_lists = args.verbose
        metrics = runner.test()
    if runner.rank == 0:
        for name, value in metrics.items():
            print(f'{name}: {value}')
        for path in runner.write_pictures():
            print(f'picture: {path}')
        if args.out:
            content = {
                'config': args.config,
                'checkpoint': args.checkpoint,
                'metrics': metrics,
            }
            if task and task.views:
                count_views = task.load('views')
                pipeline = cfg.test_dataloader.dataset.pipeline
                content['views'] = count_views(pipeline)._asdict()
            cli.write_json(args.out, content)
            print(f'metrics: {args.out}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(test, make_parser().parse_args(argv))
