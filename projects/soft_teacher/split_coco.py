"""Split a COCO annotation file into labelled and unlabelled images.

Writes `NAME.FOLD@PERCENT.json`, in which images are drawn at random, and
`NAME.FOLD@PERCENT-unlabelled.json` with the other images and no annotations,
beside the file or in another folder.
"""

import argparse
import json
import random
import sys
from pathlib import Path

from swin_dense.detection.annotation_checks import load_coco
from swin_dense.engine import cli


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'python projects/soft_teacher/split_coco.py'
    )
    parser.add_argument(
        'annotations', help='COCO file, such as instances_train2017.json'
    )
    parser.add_argument(
        '--percent',
        type=float,
        nargs='+',
        default=[1, 5, 10],
        help='labelled images in %% (default: 1 5 10)',
    )
    parser.add_argument(
        '--folds',
        type=int,
        nargs='+',
        default=[1],
        metavar='FOLD',
        help='numbers of the draws; each is the seed of its own (default: 1)',
    )
    parser.add_argument(
        '--out', help='folder of the files (default: that of the annotations)'
    )
    cli.add_debug_argument(parser)
    return parser


def split(args: argparse.Namespace) -> int:
    """Write the two files of each share and draw."""
    source = Path(args.annotations)
    for percent in args.percent:
        if not 0 < percent < 100:
            raise ValueError(
                f'--percent {percent:g}: write a number between 0 and 100'
            )
    data = load_coco(str(source), True)
    folder = Path(args.out) if args.out else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    for fold in args.folds:
        images = list(data['images'])
        random.Random(fold).shuffle(images)
        for percent in args.percent:
            count = max(1, round(len(images) * percent / 100))
            chosen = {image['id'] for image in images[:count]}
            name = f'{source.stem}.{fold}@{percent:g}'
            parts = {
                name: dict(
                    data,
                    images=[i for i in data['images'] if i['id'] in chosen],
                    annotations=[
                        annotation
                        for annotation in data['annotations']
                        if annotation['image_id'] in chosen
                    ],
                ),
                f'{name}-unlabelled': dict(
                    data,
                    images=[
                        i for i in data['images'] if i['id'] not in chosen
                    ],
                    annotations=[],
                ),
            }
            for stem, part in parts.items():
                path = folder / f'{stem}.json'
                path.write_text(json.dumps(part))
                print(f'{path}: {len(part["images"])} images')
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return cli.run(split, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
