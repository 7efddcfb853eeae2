"""Convert annotations of YOLO, Pascal VOC, labelme or CSV to COCO's JSON.

Polygons and masks become masks, boxes stay boxes. For each split of the data
set a file such as train.json is written; names of images in it are relative to
it, so that images stay where they are.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from swin_dense.data.annotations.coco import (
    AnnotatedImage,
    class_names,
    to_coco,
)
from swin_dense.data.annotations.csv_boxes import read_csv
from swin_dense.data.annotations.labelme import read_labelme
from swin_dense.data.annotations.pascal_voc import read_voc
from swin_dense.data.annotations.yolo import read_yolo
from swin_dense.engine import cli
from swin_dense.wording import counted

FORMATS = ('yolo', 'voc', 'labelme', 'csv')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense convert-data data/yolo/data.yaml --out data/coco'
    )
    parser.add_argument(
        'source',
        type=Path,
        help='data.yaml of YOLO, folder of Pascal VOC, folder of labelme '
        'JSON files, or CSV file',
    )
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder for the JSON files',
    )
    parser.add_argument(
        '--from',
        dest='kind',
        choices=FORMATS,
        help='format of the source (default: recognised by its files)',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folder of the images of a CSV file (default: beside it)',
    )
    cli.add_debug_argument(parser)
    return parser


def recognise(source: Path) -> str:
    """Return the format of a source.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it has no files of a known format.
    """
    if not source.exists():
        raise FileNotFoundError(f'{source} does not exist')
    if source.is_file():
        kinds = {'.yaml': 'yolo', '.yml': 'yolo', '.csv': 'csv'}
        if source.suffix.lower() in kinds:
            return kinds[source.suffix.lower()]
    elif any(source.glob('*.y*ml')):
        return 'yolo'
    elif any(source.glob('*.xml')) or any(source.glob('Annotations/*.xml')):
        return 'voc'
    elif any(source.rglob('*.json')):
        return 'labelme'
    raise ValueError(
        f'{source} is not recognised: expected is the data.yaml of YOLO, a '
        'folder with the XML files of Pascal VOC or the JSON files of '
        'labelme, or a CSV file'
    )


def convert(args: argparse.Namespace) -> int:
    """Write a JSON file for each split; print what is in it."""
    kind = args.kind or recognise(args.source)
    classes: list[str] | None = None
    splits: dict[str, list[AnnotatedImage]]
    if kind == 'yolo':
        splits, classes = read_yolo(args.source)
    elif kind == 'voc':
        splits = read_voc(args.source)
    elif kind == 'labelme':
        images, left_out = read_labelme(args.source)
        splits = {'annotations': images}
        for shape, count in left_out.items():
            print(f'left out: {counted(count, shape)}, which are no areas')
    else:
        splits = {args.source.stem: read_csv(args.source, args.images)}
    if classes is None:
        classes = class_names([i for part in splits.values() for i in part])
    for split, images in splits.items():
        path = args.out / f'{split}.json'
        data = to_coco(images, classes, args.out)
        cli.write_bytes(path, json.dumps(data).encode())
        masks = sum('segmentation' in ann for ann in data['annotations'])
        print(
            f'{path}: {counted(len(images), "image")}, '
            f'{counted(len(data["annotations"]), "object")}, '
            f'{counted(masks, "mask")}, '
            f'{counted(len(classes), "class", "classes")}'
        )
    first = next((name for name in ('train', *splits) if name in splits), '')
    val = f' --val {args.out / "val.json"}' if 'val' in splits else ''
    print(
        'to train: swin-dense train mask_rcnn_swin_t --data '
        f'{args.out / first}.json{val}'
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(convert, make_parser().parse_args(argv))
