"""Predict files with a segmentor, for `swin-dense predict`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from swin_dense.engine.predict_images import predict_images


def add_options(parser: Any) -> list[argparse.Action]:
    """Add the options of segmentors to a parser, and return them."""
    return [
        parser.add_argument(
            '--areas', action='store_true', help='also write areas.json'
        ),
        parser.add_argument(
            '--colours',
            action='store_true',
            help='also write label maps in colours, in a folder "colours"',
        ),
        parser.add_argument(
            '--tile',
            nargs='+',
            type=int,
            metavar='PIXELS',
            help='predict large images in tiles of this height and width, or '
            'this side',
        ),
        parser.add_argument(
            '--overlap',
            type=float,
            help='least overlap of tiles, as a share (default: 0.25)',
        ),
    ]


def predict_files(
    config: Config, checkpoint: str, args: argparse.Namespace
) -> None:
    """Write a picture and a label map of each image.

    Args:
        config: Config of a segmentor.
        checkpoint: Path or address of the weights.
        args: Arguments of `swin-dense predict`.

    Raises:
        ValueError: If an overlap is given without tiles; see also
            `predict_images` and `SegmentationPredictor`.
    """

    def open_model(
        pictures: Sequence[Path], on_tile: Callable[[], None]
    ) -> tuple[Any, Any]:
        from swin_dense.segmentation.predictor import SegmentationPredictor
        from swin_dense.segmentation.write_predictions import LabelResults

        if args.overlap is not None and not args.tile:
            raise ValueError(
                '--overlap needs tiles: give their size by --tile'
            )
        tile = args.tile
        if tile and len(tile) == 1:
            tile = tile * 2
        predictor = SegmentationPredictor(
            config,
            checkpoint,
            device=args.device,
            tile=tile,
            overlap=0.25 if args.overlap is None else args.overlap,
            on_tile=on_tile,
        )
        return predictor, LabelResults(
            Path(args.out),
            pictures,
            predictor.classes,
            args.areas,
            args.colours,
        )

    predict_images(open_model, args, in_tiles=bool(args.tile))
