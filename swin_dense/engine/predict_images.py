"""Predict image files in batches; write results as they come."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.data.image_checks import image_size
from swin_dense.data.image_files import read_image
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    FAILURES,
    check_outputs,
    find_images,
    name_outputs,
    report_unreadable,
)
from swin_dense.engine.predict_videos import (
    MakeTracker,
    find_sources,
    predict_videos,
    video_name,
    video_output,
)
from swin_dense.engine.progress import Steps, show_steps
from swin_dense.wording import first_few

# Takes the paths of pictures, and a function to call after each tile; returns
# a predictor and the writer of its results.
OpenModel = Callable[[Sequence[Path], Callable[[], None]], tuple[Any, Any]]


def predict_images(
    open_model: OpenModel,
    args: argparse.Namespace,
    in_tiles: bool = False,
    make_tracker: MakeTracker | None = None,
) -> None:
    """Predict the images and videos of a command line; report bad ones.

    Whatever ends the run, the results of all images so far are complete. The
    frames of videos are predicted as images, see `predict_video`.

    Args:
        open_model: See `OpenModel`.
        args: Arguments of `swin-dense predict`: `inputs`, `out`, `batch_size`
            and `skip_bad` are read.
        in_tiles: If true, the progress counts tiles instead of images.
        make_tracker: Follows objects in videos; see `MakeTracker`.

    Raises:
        FileNotFoundError: If an input leads to no image.
        ValueError: If a result would overwrite a file, an image cannot be
            read or predicted and `skip_bad` is false, or there is no video
            to follow objects in.
    """
    inputs, videos = find_sources(args.inputs)
    if make_tracker and not videos:
        raise ValueError(
            '--track follows objects in videos, and '
            f'{first_few(args.inputs)} leads to none'
        )
    images = find_images(inputs)
    pictures = name_outputs(images, Path(args.out))
    clips = name_outputs(
        [video_name(video) for video in videos], Path(args.out), video_output
    )
    bad: list[str] = []
    with show_steps('prediction') as steps:
        predictor, writer = open_model(pictures, steps.advance)
        check_outputs(writer.paths, images)
        if images:
            _predict_all(predictor, writer, images, args, steps, in_tiles, bad)
    if images:
        print(writer.summary())
    if videos:
        bad += predict_videos(
            predictor,
            writer,
            videos,
            clips,
            args.batch_size,
            getattr(args, 'max_frames', None),
            make_tracker,
        )
    report_unreadable(
        bad,
        len(images) + len(videos),
        'images and videos' if videos else 'images',
        args.skip_bad,
    )


def _predict_all(
    predictor: Any,
    writer: Any,
    images: Sequence[Path],
    args: argparse.Namespace,
    steps: Steps,
    in_tiles: bool,
    bad: list[str],
) -> None:
    """Predict all images; append errors to `bad`."""
    steps.begin(count_tiles(images, predictor) if in_tiles else len(images))
    with closing(writer):
        for batch in _read_batches(images, args.batch_size, bad):
            for index, prediction in _predict_batch(
                predictor, images, batch, bad
            ):
                prediction.path = str(images[index])
                writer.add(index, prediction)
            if not in_tiles:
                steps.advance(len(batch))


def count_tiles(images: Sequence[Path], predictor: Any) -> int:
    """Return the number of tiles of all images whose size can be read."""
    count = 0
    for image in images:
        try:
            width, height = image_size(image)
        except ValueError:
            continue
        count += predictor.count_tiles(height, width)
    return count


def _read_batches(
    images: Sequence[Path], size: int, bad: list[str]
) -> Iterator[dict[int, np.ndarray]]:
    """Yield readable images by their index, `size` at a time.

    Appends the errors of the other images to `bad`.
    """
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
    """Yield the index and the prediction of each image of a batch.

    An image may be too small or too narrow for the pipeline of a config, or
    too large for the memory. Its error is appended to `bad`, and the other
    images of the batch are predicted one by one.
    """
    try:
        predictions = predictor.predict_batch(list(batch.values()))
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
            f'{images[index]} ({width}x{height} pixels) cannot be '
            f'predicted: {cli.describe(error)}'
        )
        return
    yield from zip(batch, predictions)
