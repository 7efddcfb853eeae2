"""Count the parameters and FLOPs of a config's model, part by part."""

import argparse
from collections.abc import Sequence

from mmengine.registry import MODELS, init_default_scope

from swin_dense.analysis.flops import count_flops, published_shape
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense flops cascade_swin_b_coco --out flops.json',
    )
    cli.add_config_argument(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='height and width of the image, or the side of a square; for '
        'clips, frames, height and width (default: 800 1280; segmentation '
        "and video: the size in the config's test pipeline)",
    )
    parser.add_argument(
        '--proposals',
        type=int,
        default=1000,
        metavar='N',
        help='boxes per RoI box head (default: 1000)',
    )
    parser.add_argument(
        '--masks',
        type=int,
        default=100,
        metavar='N',
        help='boxes per RoI mask head (default: 100)',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.json',
        help='also write the figures as JSON',
    )
    cli.add_config_arguments(parser)
    return parser


def flops(args: argparse.Namespace) -> int:
    """Count and print a table; write the figures if `--out` is set."""
    config = load_config(args.config, args.cfg_options)
    published = published_shape(config)
    shape = args.shape or published
    if len(shape) == 1:
        shape = published[:-2] + shape * 2
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    complexity = count_flops(model, shape, args.proposals, args.masks)
    boxes = (
        f', {args.proposals} proposals, {args.masks} masks'
        if hasattr(model, 'roi_head')
        else ''
    )
    print(f'{args.config}: {_format_shape(complexity.shape)}{boxes}')
    print(complexity.table())
    print('1 FLOP = 1 multiply-accumulate')
    if args.out:
        cli.write_json(args.out, complexity.to_dict())
    return 0


def _format_shape(shape: Sequence[int]) -> str:
    *frames, height, width = shape
    clip = f'{frames[0]} frames of ' if frames else ''
    return f'{clip}{height} x {width} pixels'


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(flops, make_parser().parse_args(argv))
