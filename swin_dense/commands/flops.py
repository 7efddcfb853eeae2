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
        'clips with the number of frames first (default: 800 1280; for '
        'segmentation the scale of the test, for clips their size there)',
    )
    parser.add_argument(
        '--proposals',
        type=int,
        default=1000,
        help='boxes that each RoI box head sees (default: 1000)',
    )
    parser.add_argument(
        '--masks',
        type=int,
        default=100,
        help='boxes that each RoI mask head sees (default: 100)',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.json',
        help='also write the figures to a JSON file',
    )
    cli.add_config_arguments(parser)
    return parser


def flops(args: argparse.Namespace) -> int:
    """Count, print the table and write the JSON file."""
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
    print(f'{args.config}: {_size(complexity.shape)}{boxes}')
    print(complexity.table())
    print('1 FLOP = 1 multiply-accumulate')
    if args.out:
        cli.write_json(args.out, complexity.to_dict())
    return 0


def _size(shape: Sequence[int]) -> str:
    *frames, height, width = shape
    clip = f'{frames[0]} frames of ' if frames else ''
    return f'{clip}{height} x {width} pixels'


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(flops, make_parser().parse_args(argv))
