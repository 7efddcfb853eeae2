"""Predict on photographs: pictures and COCO-format results.

Writes into the output folder a picture for each image, predictions.json (a
list in COCO's results format, every prediction the model makes) and
images.json (which file and category each id stands for).
"""
import argparse
import glob
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import cv2
import numpy as np
from mmengine.utils import ProgressBar

from swin_dense.detection.predictor import Predictor, read_image
from swin_dense.detection.results import coco_results, coco_summary
from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.visualization import draw_instances

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
DRAWN_AS = ('.jpg', '.jpeg', '.png')


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.make_parser(
        __doc__, 'python tools/predict.py configs/cascade_swin_b_coco.py '
        'weights.pth photo.jpg --out out/')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='images, folders of images, or patterns such as "in/**/*.jpg"')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the results')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='draw predictions from this score on (default: 0.3); the JSON '
        'holds all')
    parser.add_argument('--device', help='such as cpu or cuda:1')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help='exit with 0 although some images cannot be read')
    cli.add_config_arguments(parser)
    return parser


def find_images(inputs: Sequence[str]) -> List[Path]:
    """The image files of paths, folders and patterns, each once.

    Raises:
        FileNotFoundError: If an input leads to no image.
    """
    found: Dict[Path, Path] = {}
    for entry in inputs:
        path = Path(entry)
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if _is_image(p))
        elif path.is_file():
            files = [path]
        else:
            files = [
                Path(match)
                for match in sorted(glob.glob(entry, recursive=True))
                if _is_image(Path(match))
            ]
        if not files:
            raise FileNotFoundError(
                f'{entry}: no image there; expected a file, a folder or a '
                f'pattern that leads to {", ".join(SUFFIXES)}')
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def name_outputs(images: Sequence[Path], out: Path) -> List[Path]:
    """A picture's path for each image, none twice.

    Pictures are named as their images; where two images share a name, all
    keep their folders below the one that holds them all. Formats that are
    not drawn gain a `.png`.

    Raises:
        ValueError: If a picture would overwrite an image.
    """
    names = [Path(image.name) for image in images]
    if len(set(map(_drawn, names))) < len(names):
        files = [image.absolute() for image in images]
        top = os.path.commonpath([file.parent for file in files])
        names = [file.relative_to(top) for file in files]
    pictures = [out / _drawn(name) for name in names]
    sources = {image.resolve() for image in images}
    for picture in pictures:
        if picture.resolve() in sources:
            raise ValueError(f'the picture would overwrite the image {picture}'
                             ': give another folder by --out')
    return pictures


def predict(args: argparse.Namespace) -> int:
    """Predict for all images; report the bad ones at the end."""
    if args.batch_size < 1:
        raise ValueError(f'--batch-size must be 1 or more, got '
                         f'{args.batch_size}')
    config = load_config(args.config, args.cfg_options)
    checkpoint = find_checkpoint(args.checkpoint)
    images = find_images(args.inputs)
    out = Path(args.out)
    pictures = name_outputs(images, out)
    predictor = Predictor(config, checkpoint, device=args.device)

    known: List[Dict[str, Any]] = []
    entries: List[Dict[str, Any]] = []
    bad: List[str] = []
    progress = ProgressBar(len(images), file=sys.stderr)
    for batch in _read_batches(images, args.batch_size, bad):
        found = predictor(list(batch.values()))
        for (index, pixels), instances in zip(batch.items(), found):
            height, width = pixels.shape[:2]
            known.append({
                'id': index + 1,
                'file_name': str(images[index]),
                'width': width,
                'height': height
            })
            entries += coco_results(instances, known[-1], predictor.classes)
            picture = draw_instances(pixels, instances, predictor.classes,
                                     args.score_thr)
            _write_picture(pictures[index], picture)
        progress.update(len(batch))
    print(file=sys.stderr)

    cli.write_json(out / 'images.json', coco_summary(known, predictor.classes))
    cli.write_json(out / 'predictions.json', entries)
    shown = sum(entry['score'] >= args.score_thr for entry in entries)
    print(f'{len(known)} images, {len(entries)} predictions, {shown} of them '
          f'with a score of {args.score_thr} or more: {out}')
    for problem in bad:
        print(f'skipped: {problem}', file=sys.stderr)
    if bad and not args.skip_bad:
        raise ValueError(
            f'{len(bad)} of {len(images)} images could not be read, see above;'
            ' the results of the others are complete. --skip-bad accepts this')
    return 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Parse and run."""
    return cli.run(predict, make_parser().parse_args(argv))


def _read_batches(images: Sequence[Path], size: int,
                  bad: List[str]) -> Iterator[Dict[int, np.ndarray]]:
    """Readable images by their index, `size` at a time; notes the others."""
    batch: Dict[int, np.ndarray] = {}
    for index, image in enumerate(images):
        try:
            batch[index] = read_image(image)
        except ValueError as error:
            bad.append(str(error))
        if len(batch) == size:
            yield batch
            batch = {}
    if batch:
        yield batch


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in SUFFIXES


def _drawn(name: Path) -> Path:
    """The name of a picture of an image."""
    if name.suffix.lower() in DRAWN_AS:
        return name
    return name.with_name(f'{name.name}.png')


def _write_picture(path: Path, picture: np.ndarray) -> None:
    cli.write_bytes(path, cv2.imencode(path.suffix, picture)[1].tobytes())


if __name__ == '__main__':
    sys.exit(main())
