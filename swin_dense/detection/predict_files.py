"""Predict files with a detector, for `swin-dense predict`."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.engine.predict_images import predict_images


def add_options(parser: Any) -> list[argparse.Action]:
    """Add the options of detectors to a parser, and return them."""
    return [
        parser.add_argument(
            '--score-thr',
            type=float,
            help='draw predictions from this score on (default: 0.3); the '
            'JSON holds all',
        ),
        parser.add_argument(
            '--classes',
            nargs='+',
            metavar='NAME',
            help='draw and write these classes alone',
        ),
        parser.add_argument(
            '--no-labels',
            action='store_true',
            help='draw no class names and scores',
        ),
        parser.add_argument(
            '--no-masks', action='store_true', help='draw no masks'
        ),
        parser.add_argument(
            '--colour-by',
            choices=('instance', 'class'),
            help='a colour for each instance (default), or for each class, '
            "the data set's",
        ),
        parser.add_argument(
            '--track',
            action='store_true',
            help='follow the objects in videos: each has an id and a colour '
            'that stay the same in all frames (ByteTrack)',
        ),
        parser.add_argument(
            '--texts',
            metavar='NAMES',
            help='names of the objects to detect, for models that read text '
            '(GLIP, Grounding DINO), separated by dots, as in "person . '
            'traffic light"',
        ),
    ]


def predict_files(
    config: Config, checkpoint: str, args: argparse.Namespace
) -> None:
    """Write a picture of each image, `predictions.json`, `images.json`.

    Args:
        config: Config of a detector.
        checkpoint: Path or address of the weights.
        args: Arguments of `swin-dense predict`.

    Raises:
        ValueError: If the package for `--track` is not installed; see also
            `predict_images` and `DetectionPredictor`.
    """

    threshold = 0.3 if args.score_thr is None else args.score_thr

    def open_model(
        pictures: Sequence[Path], on_tile: Callable[[], None]
    ) -> tuple[Any, Any]:
        from swin_dense.detection.predictor import (
            DetectionPredictor,
            split_texts,
        )
        from swin_dense.detection.write_predictions import CocoResults

        texts = None if args.texts is None else split_texts(args.texts)
        predictor = DetectionPredictor(
            config, checkpoint, device=args.device, texts=texts
        )
        return predictor, CocoResults(
            Path(args.out),
            pictures,
            predictor.classes,
            threshold,
            predictor.ids,
            args.classes,
            labels=not args.no_labels,
            masks=not args.no_masks,
            colour_by=args.colour_by or 'instance',
            frame_colour_by=args.colour_by
            or ('instance' if args.track else 'class'),
        )

    make_tracker = None
    if args.track:
        from swin_dense.detection.object_tracks import (
            ObjectTracker,
            check_installed,
        )

        check_installed()
        make_tracker = partial(ObjectTracker, score_thr=threshold)
    predict_images(open_model, args, make_tracker=make_tracker)
