"""Predict files with a recognizer, for `swin-dense predict`."""

import argparse
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.data.decoders.base import VideoError
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    FAILURES,
    find_videos,
    name_outputs,
    report_unreadable,
)


def add_options(parser: Any) -> list[argparse.Action]:
    """Add the options of recognizers to a parser, and return them."""
    return [
        parser.add_argument(
            '--topk', type=int, help='classes to name (default: 5)'
        ),
        parser.add_argument(
            '--stride',
            type=float,
            metavar='SECONDS',
            help='from one segment of the video to the next (default: the '
            'length of a segment)',
        ),
        parser.add_argument(
            '--window',
            type=float,
            metavar='SECONDS',
            help='length of a segment, for recognizers that spread their '
            'frames over a video (default: the whole video)',
        ),
        parser.add_argument(
            '--fps',
            type=float,
            help='take frames as if videos had this rate (default: their own)',
        ),
        parser.add_argument(
            '--strip',
            action='store_true',
            help='write a strip of frames in place of a clip',
        ),
    ]


def predict_files(
    config: Config, checkpoint: str, args: argparse.Namespace
) -> None:
    """Print the actions in each video; write clips and scores.

    Args:
        config: Config of a recognizer.
        checkpoint: Path or address of the weights.
        args: Arguments of `swin-dense predict`.

    Raises:
        ValueError: If no class is to be named, or a video cannot be read or
            predicted and `skip_bad` is false.
    """
    from swin_dense.video.predictor import VideoPredictor
    from swin_dense.video.write_predictions import VideoResults, time_table

    topk = 5 if args.topk is None else args.topk
    if topk < 1:
        raise ValueError(f'--topk must be 1 or more, got {topk}')
    videos = find_videos(args.inputs)
    suffix = '.jpg' if _draws_strips(args) else '.mp4'

    def rename(name: Path) -> Path:
        return name if name.suffix == suffix else Path(f'{name}{suffix}')

    paths = name_outputs(videos, Path(args.out), rename)
    predictor = VideoPredictor(
        config,
        checkpoint,
        device=args.device,
        stride=args.stride,
        window=args.window,
        fps=args.fps,
    )
    writer = VideoResults(paths, Path(args.out), topk)
    bad: list[str] = []
    with closing(writer):
        for index, video in enumerate(videos):
            print(f'{video} ({index + 1} of {len(videos)})', file=sys.stderr)
            try:
                prediction = predictor.predict(video)
                writer.add(index, prediction)
            except VideoError as error:
                bad.append(str(error))
                continue
            except FAILURES as error:
                bad.append(
                    f'{video} cannot be predicted: {cli.describe(error)}'
                )
                continue
            print(time_table(prediction, topk))
    print(writer.summary())
    report_unreadable(bad, len(videos), 'videos', args.skip_bad)


def _draws_strips(args: argparse.Namespace) -> bool:
    """Return True if frames are drawn in place of clips; say why."""
    if args.strip or find_spec('av') is not None:
        return args.strip
    print(
        'without PyAV no clips can be written: strips of frames instead',
        file=sys.stderr,
    )
    return True
