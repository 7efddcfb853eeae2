"""Count the parameters and FLOPs of a config's model, part by part."""
import argparse
import json
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope

import swin_dense  # noqa: F401
from swin_dense.engine.flops import count


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: python tools/flops.py configs/cascade_swin_b_coco.py '
        '--out flops.json',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        default=[800, 1280],
        metavar='PIXELS',
        help='height and width of the image, or the side of a square '
        '(default: 800 1280)')
    parser.add_argument(
        '--proposals',
        type=int,
        default=1000,
        help='boxes that each RoI box head sees (default: 1000)')
    parser.add_argument(
        '--masks',
        type=int,
        default=100,
        help='boxes that each RoI mask head sees (default: 100)')
    parser.add_argument('--out', help='also write the figures to a JSON file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='settings that replace those of the config')
    args = parser.parse_args()
    if len(args.shape) == 1:
        args.shape *= 2
    return args


def main() -> None:
    """Count, print the table and write the JSON file."""
    args = parse_args()
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    init_default_scope(config.get('default_scope', 'mmdet'))
    model = MODELS.build(config.model)
    complexity = count(model, args.shape, args.proposals, args.masks)
    height, width = complexity.shape
    print(f'{args.config}: {height} x {width} pixels, {args.proposals} '
          f'proposals, {args.masks} masks')
    print(complexity.table())
    print('1 FLOP = 1 multiply-accumulate')
    if args.out:
        Path(args.out).write_text(json.dumps(complexity.to_dict(), indent=2))


if __name__ == '__main__':
    main()
