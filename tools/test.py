"""Evaluate a checkpoint on the test split of a config."""
import argparse
import sys
from typing import Optional, Sequence

from swin_dense.engine import cli
from swin_dense.engine.launch import build_runner, configure, load_config
from swin_dense.segmentation.tta import RATIOS, add_tta


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.make_parser(
        __doc__, 'python tools/test.py configs/cascade_swin_b_coco.py '
        'weights.pth --out metrics.json')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        '--out', metavar='FILE.json', help='also write the metrics as JSON')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='semantic segmentation: average over scales and flips '
        '(test-time augmentation)')
    parser.add_argument(
        '--tta-ratios',
        type=float,
        nargs='+',
        default=RATIOS,
        metavar='RATIO',
        help='factors of the test scale (default: '
        f'{" ".join(map(str, RATIOS))})')
    parser.add_argument(
        '--tta-no-flip',
        action='store_true',
        help='average over the scales alone')
    cli.add_run_arguments(parser)
    return parser


def test(args: argparse.Namespace) -> int:
    """Evaluate, then print the metrics."""
    cfg = load_config(args.config, args.cfg_options)
    configure(
        cfg,
        work_dir=args.work_dir,
        load_from=args.checkpoint,
        launcher=args.launcher)
    if args.tta:
        add_tta(cfg, args.tta_ratios, flip=not args.tta_no_flip)
    runner = build_runner(cfg)
    metrics = runner.test()
    if runner.rank == 0:
        for name, value in metrics.items():
            print(f'{name}: {value}')
        if args.out:
            cli.write_json(
                args.out, {
                    'config': args.config,
                    'checkpoint': args.checkpoint,
                    'metrics': metrics
                })
            print(f'metrics: {args.out}')
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse and run."""
    return cli.run(test, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
