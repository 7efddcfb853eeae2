"""Predict on photographs; the config says of which kind the model is.

A detector writes into the output folder a picture for each image,
predictions.json (a list in COCO's results format, every prediction the model
makes) and images.json (which file and category each id stands for).

A segmentor writes a picture with a legend for each image, and its label map
as labels/NAME.png, with the values that the data set's own label maps have;
with --areas also areas.json, the pixels and shares of classes.
"""
import argparse
import glob
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.utils import ProgressBar

from swin_dense.datasets.images import image_size
from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.prediction import read_image

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
        help='draw predictions from this score on (default: 0.3); the JSON '
        'holds all (detectors)')
    parser.add_argument(
        '--areas',
        action='store_true',
        help='also write areas.json (segmentors)')
    parser.add_argument(
        '--tile',
        nargs='+',
        type=int,
        metavar='PIXELS',
        help='predict large images in tiles of this height and width, or '
        'this side (segmentors)')
    parser.add_argument(
        '--overlap',
        type=float,
        help='least overlap of tiles, as a share (default: 0.25)')
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
    check_outputs(pictures, images)
    return pictures


def check_outputs(outputs: Sequence[Path], images: Sequence[Path]) -> None:
    """Raise if a file would overwrite an image, or another file."""
    sources = {image.resolve() for image in images}
    for output in outputs:
        if output.resolve() in sources:
            raise ValueError(f'{output} would overwrite the image of this '
                             'name: give another folder by --out')
    if len({*outputs}) < len(outputs):
        raise ValueError('some label maps would overwrite pictures: predict '
                         'the folders one by one')


def predict(args: argparse.Namespace) -> int:
    """Predict for all images; report the bad ones at the end."""
    if args.batch_size < 1:
        raise ValueError(f'--batch-size must be 1 or more, got '
                         f'{args.batch_size}')
    config = load_config(args.config, args.cfg_options)
    checkpoint = find_checkpoint(args.checkpoint)
    images = find_images(args.inputs)
    pictures = name_outputs(images, Path(args.out))
    progress = ProgressBar(0, start=False, file=sys.stderr)
    opened = open_segmentor if 'decode_head' in config.model else open_detector
    predictor, results = opened(config, checkpoint, pictures, args, progress)
    check_outputs(results.paths, images)

    progress.task_num = count_steps(images, predictor, args.tile)
    progress.start()
    bad: List[str] = []
    for batch in _read_batches(images, args.batch_size, bad):
        found = predictor(list(batch.values()))
        for (index, pixels), entry in zip(batch.items(), found):
            results.add(index, images[index], pixels, entry)
        if not args.tile:
            progress.update(len(batch))
    print(file=sys.stderr)

    print(results.finish())
    for problem in bad:
        print(f'skipped: {problem}', file=sys.stderr)
    if bad and not args.skip_bad:
        raise ValueError(
            f'{len(bad)} of {len(images)} images could not be read, see above;'
            ' the results of the others are complete. --skip-bad accepts this')
    return 0


def open_detector(config: Config, checkpoint: str, pictures: Sequence[Path],
                  args: argparse.Namespace,
                  progress: ProgressBar) -> Tuple[Any, Any]:
    """A detector, and what writes its results."""
    from swin_dense.detection.predictor import Predictor
    from swin_dense.detection.results import CocoResults
    for name in ('areas', 'tile', 'overlap'):
        value = getattr(args, name)
        if value is not None and value is not False:
            raise ValueError(f'--{name} is for segmentors, and the model of '
                             f'{args.config} has no decode_head')
    predictor = Predictor(config, checkpoint, device=args.device)
    threshold = 0.3 if args.score_thr is None else args.score_thr
    return predictor, CocoResults(
        Path(args.out), pictures, predictor.classes, threshold)


def open_segmentor(config: Config, checkpoint: str, pictures: Sequence[Path],
                   args: argparse.Namespace,
                   progress: ProgressBar) -> Tuple[Any, Any]:
    """A segmentor, and what writes its results."""
    from swin_dense.segmentation.predictor import Predictor
    from swin_dense.segmentation.results import LabelResults
    if args.score_thr is not None:
        raise ValueError('--score-thr is for detectors, and the model of '
                         f'{args.config} is a segmentor')
    if args.overlap is not None and not args.tile:
        raise ValueError('--overlap is of tiles: give their size by --tile')
    tile = args.tile * 2 if args.tile and len(args.tile) == 1 else args.tile
    predictor = Predictor(
        config,
        checkpoint,
        device=args.device,
        tile=tile,
        overlap=0.25 if args.overlap is None else args.overlap,
        on_tile=progress.update)
    return predictor, LabelResults(
        Path(args.out), pictures, predictor, args.areas)


def count_steps(images: Sequence[Path], predictor: Any, tiled: bool) -> int:
    """Steps of the progress: images, or the tiles of all that are read."""
    if not tiled:
        return len(images)
    count = 0
    for image in images:
        try:
            width, height = image_size(image)
        except ValueError:
            continue
        count += predictor.count_tiles(height, width)
    return count


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


if __name__ == '__main__':
    sys.exit(main())
