"""Predict on photographs or videos; the config says what the model takes.

A detector writes into the output folder a picture for each image,
predictions.json (a list in COCO's results format, every prediction the model
makes) and images.json (which file and category each id stands for).

A segmentor writes a picture with a legend for each image, and its label map
as labels/NAME.png, with the values that the data set's own label maps have;
with --areas also areas.json, the pixels and shares of classes.

A recognizer of actions prints what happens when in each video, and writes it
as predictions.json beside a small labelled clip of each.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.utils import ProgressBar

from swin_dense.data.decoders.base import VideoError
from swin_dense.data.image_checks import image_size
from swin_dense.data.image_files import read_image
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    FAILURES,
    check_outputs,
    find_images,
    find_videos,
    name_outputs,
    report_unreadable,
)
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import task_of

# Options that are for one kind of model alone.
OPTIONS = dict(
    detectors=('score_thr', 'texts'),
    segmentors=('areas', 'tile', 'overlap'),
    recognizers=('topk', 'stride', 'window', 'fps', 'strip'),
)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.make_parser(
        __doc__,
        'python tools/predict.py configs/cascade_swin_b_coco.py '
        'weights.pth photo.jpg --out out/',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='path or address of the weights')
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='images or videos, folders of them, or patterns such as '
        '"in/**/*.jpg"',
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the results'
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        help='draw predictions from this score on (default: 0.3); the JSON '
        'holds all (detectors)',
    )
    parser.add_argument(
        '--texts',
        metavar='NAMES',
        help='what to look for, for models that read text (GLIP, Grounding '
        'DINO): names separated by dots, as in "person . traffic light"',
    )
    parser.add_argument(
        '--areas',
        action='store_true',
        help='also write areas.json (segmentors)',
    )
    parser.add_argument(
        '--tile',
        nargs='+',
        type=int,
        metavar='PIXELS',
        help='predict large images in tiles of this height and width, or '
        'this side (segmentors)',
    )
    parser.add_argument(
        '--overlap',
        type=float,
        help='least overlap of tiles, as a share (default: 0.25)',
    )
    parser.add_argument(
        '--topk', type=int, help='classes to name (default: 5; recognizers)'
    )
    parser.add_argument(
        '--stride',
        type=float,
        metavar='SECONDS',
        help='from one window in time to the next (default: the length of '
        'one; recognizers)',
    )
    parser.add_argument(
        '--window',
        type=float,
        metavar='SECONDS',
        help='length of a window, for recognizers that spread their frames '
        'over a video (default: the whole video)',
    )
    parser.add_argument(
        '--fps',
        type=float,
        help='take frames as if videos had this rate (default: their own; '
        'recognizers)',
    )
    parser.add_argument(
        '--strip',
        action='store_true',
        help='write a strip of frames in place of a clip (recognizers)',
    )
    parser.add_argument('--device', help='such as cpu or cuda:1')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help='exit with 0 although some inputs cannot be read',
    )
    cli.add_compile_argument(parser)
    cli.add_config_arguments(parser)
    return parser


def predict(args: argparse.Namespace) -> int:
    """Predict for all inputs; report the bad ones at the end."""
    if args.batch_size < 1:
        raise ValueError(
            f'--batch-size must be 1 or more, got {args.batch_size}'
        )
    config = load_config(args.config, args.cfg_options)
    if args.compile:
        config.compile_backbone = args.compile
    checkpoint = find_checkpoint(args.checkpoint)
    kind = task_of(config).models
    _refuse_options(args, kind)
    if kind == 'recognizers':
        return predict_videos(config, checkpoint, args)
    images = find_images(args.inputs)
    pictures = name_outputs(images, Path(args.out))
    progress = ProgressBar(0, start=False, file=sys.stderr)
    opened = open_segmentor if kind == 'segmentors' else open_detector
    predictor, results = opened(config, checkpoint, pictures, args, progress)
    check_outputs(results.paths, images)

    progress.task_num = count_steps(images, predictor, args.tile)
    progress.start()
    bad: list[str] = []
    # What is found is written as it comes: whatever ends the run, the results
    # of all images so far are complete.
    with closing(results):
        for batch in _read_batches(images, args.batch_size, bad):
            for index, found in _predict_batch(predictor, images, batch, bad):
                results.add(index, images[index], batch[index], found)
            if not args.tile:
                progress.update(len(batch))
    print(file=sys.stderr)

    print(results.summary())
    return report_unreadable(bad, len(images), 'images', args.skip_bad)


def predict_videos(
    config: Config, checkpoint: str, args: argparse.Namespace
) -> int:
    """Print what happens when in each video; write clips and scores."""
    from swin_dense.video.predictor import VideoPredictor
    from swin_dense.video.write_predictions import VideoResults, time_table

    topk = 5 if args.topk is None else args.topk
    if topk < 1:
        raise ValueError(f'--topk must be 1 or more, got {topk}')
    videos = find_videos(args.inputs)
    strip = args.strip
    if find_spec('av') is None and not strip:
        print(
            'without PyAV no clips can be written: strips of frames instead',
            file=sys.stderr,
        )
        strip = True
    suffix = '.jpg' if strip else '.mp4'
    paths = name_outputs(
        videos,
        Path(args.out),
        lambda name: (
            name
            if name.suffix == suffix
            else name.with_name(name.name + suffix)
        ),
    )
    predictor = VideoPredictor(
        config,
        checkpoint,
        device=args.device,
        stride=args.stride,
        window=args.window,
        fps=args.fps,
    )
    results = VideoResults(paths, Path(args.out), predictor.classes, topk)
    bad: list[str] = []
    with closing(results):
        for index, video in enumerate(videos):
            print(f'{video} ({index + 1} of {len(videos)})', file=sys.stderr)
            try:
                found = predictor.predict(video)
                results.add(index, found)
            except VideoError as error:
                bad.append(str(error))
                continue
            except FAILURES as error:
                bad.append(
                    f'{video} cannot be predicted: {cli.describe(error)}'
                )
                continue
            print(time_table(found, predictor.classes, topk))
    print(results.summary())
    return report_unreadable(bad, len(videos), 'videos', args.skip_bad)


def _refuse_options(args: argparse.Namespace, kind: str) -> None:
    """Raise if an option is of no use to a kind of model."""
    for other, names in OPTIONS.items():
        for name in names:
            value = getattr(args, name)
            if other != kind and value is not None and value is not False:
                raise ValueError(
                    f'--{name.replace("_", "-")} is for {other}, and the '
                    f'model of {args.config} is a {kind[:-1]}'
                )


def open_detector(
    config: Config,
    checkpoint: str,
    pictures: Sequence[Path],
    args: argparse.Namespace,
    progress: ProgressBar,
) -> tuple[Any, Any]:
    """A detector, and what writes its results."""
    from swin_dense.detection.predictor import DetectionPredictor, split_texts
    from swin_dense.detection.write_predictions import CocoResults

    texts = None if args.texts is None else split_texts(args.texts)
    predictor = DetectionPredictor(
        config, checkpoint, device=args.device, texts=texts
    )
    threshold = 0.3 if args.score_thr is None else args.score_thr
    return predictor, CocoResults(
        Path(args.out), pictures, predictor.classes, threshold
    )


def open_segmentor(
    config: Config,
    checkpoint: str,
    pictures: Sequence[Path],
    args: argparse.Namespace,
    progress: ProgressBar,
) -> tuple[Any, Any]:
    """A segmentor, and what writes its results."""
    from swin_dense.segmentation.predictor import SegmentationPredictor
    from swin_dense.segmentation.write_predictions import LabelResults

    if args.overlap is not None and not args.tile:
        raise ValueError('--overlap is of tiles: give their size by --tile')
    tile = args.tile * 2 if args.tile and len(args.tile) == 1 else args.tile
    predictor = SegmentationPredictor(
        config,
        checkpoint,
        device=args.device,
        tile=tile,
        overlap=0.25 if args.overlap is None else args.overlap,
        on_tile=progress.update,
    )
    return predictor, LabelResults(
        Path(args.out), pictures, predictor, args.areas
    )


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


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(predict, make_parser().parse_args(argv))


def _read_batches(
    images: Sequence[Path], size: int, bad: list[str]
) -> Iterator[dict[int, np.ndarray]]:
    """Readable images by their index, `size` at a time; notes the others."""
    batch: dict[int, np.ndarray] = {}
    for index, image in enumerate(images):
        try:
            batch[index] = read_image(image)
        except (OSError, ValueError) as error:
            bad.append(str(error))
        if len(batch) == size:
            yield batch
            batch = {}
    if batch:
        yield batch


def _predict_batch(
    predictor: Any,
    images: Sequence[Path],
    batch: dict[int, np.ndarray],
    bad: list[str],
) -> Iterator[tuple[int, Any]]:
    """Yield what is found in each image of a batch; note those that fail.

    An image may be too small or too narrow for the pipeline of a config, or
    too large for the memory. It must not take the others with it.
    """
    try:
        found = predictor.predict(list(batch.values()))
    except FAILURES as error:
        if len(batch) > 1:
            for index, pixels in batch.items():
                yield from _predict_batch(
                    predictor, images, {index: pixels}, bad
                )
            return
        ((index, pixels),) = batch.items()
        height, width = pixels.shape[:2]
        bad.append(
            f'{images[index]} ({width}×{height} pixels) cannot be '
            f'predicted: {cli.describe(error)}'
        )
        return
    yield from zip(batch, found)


if __name__ == '__main__':
    sys.exit(main())
