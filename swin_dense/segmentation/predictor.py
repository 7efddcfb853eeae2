"""Predict label maps of images from a config and a checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from swin_dense.engine.base_predictor import BasePredictor
from swin_dense.engine.finite_scores import check_scores
from swin_dense.engine.inputs import ImageLike, read_image_input
from swin_dense.segmentation.result import SegmentationResult
from swin_dense.segmentation.tiles import (
    blend,
    check_tiling,
    count_tiles,
    resize_in_strips,
)

# Largest number of logits at the size of the image, 256 MB. Others are
# resized in strips.
AT_ONCE = 2**26


class SegmentationPredictor(BasePredictor):
    """A trained segmentor; see `BasePredictor`.

    Args:
        tile: Height and width of tiles, in pixels of the image. The test
            pipeline is applied to each tile as to an image of that size. None
            predicts images as a whole.
        overlap: Least overlap of neighbouring tiles, as a share of their
            side.
        on_tile: Called after each tile.

    Other arguments and errors are those of BasePredictor.

    Attributes:
        palette: Colours of the classes as (red, green, blue), or None.
        file_values: Value of each label in the label maps of the config's
            test set. It is the label plus 1 with `reduce_zero_label`. If the
            model has some classes of the data set, it is the value of the
            class among all classes.
    """

    scope = 'mmseg'

    def __init__(
        self,
        *args: Any,
        tile: Sequence[int] | None = None,
        overlap: float = 0.25,
        on_tile: Callable[[], Any] = lambda: None,
        **kwargs: Any,
    ) -> None:
        self.set_tiles(tile, overlap)
        self.on_tile = on_tile
        super().__init__(*args, **kwargs)

    def set_tiles(
        self, tile: Sequence[int] | None, overlap: float = 0.25
    ) -> None:
        """Set the tiles of the next images; see the arguments of the class.

        Raises:
            ValueError: If tile or overlap is out of range.
        """
        if tile is not None:
            check_tiling(tile, overlap)
        self.tile = tile
        self.overlap = overlap

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """Find class names, palette and file values, without reading data.

        See `BasePredictor._open_data`.
        """
        settings = {
            key: value for key, value in dataset.items() if key != 'generate'
        }
        settings.update(pipeline=[], lazy_init=True)
        if classes:
            settings['metainfo'] = {
                **(dataset.get('metainfo') or {}),
                'classes': classes,
            }
        test_set = DATASETS.build(settings)
        names = list(test_set.metainfo['classes'])
        palette = test_set.metainfo.get('palette') or []
        self.palette = palette if len(palette) >= len(names) else None
        # Label in the data set by label of the model.
        origin = {
            new: old
            for old, new in (test_set.label_map or {}).items()
            if new in range(len(names))
        }
        self.file_values = np.array(
            [
                origin.get(label, label) + bool(test_set.reduce_zero_label)
                for label in range(len(names))
            ]
        )
        return names

    def predict_batch(
        self, inputs: Sequence[ImageLike]
    ) -> list[SegmentationResult]:
        """Predict for some images; neighbours of one size form a batch.

        See `BasePredictor.__call__`. Label maps are uint8, or uint16 if there
        are more than 256 classes.
        """
        images, arguments = self._read(inputs)
        return [
            SegmentationResult(
                label_map=labels,
                palette=self.palette,
                file_values=self.file_values,
                **common,
            )
            for labels, common in zip(self._label_maps(images), arguments)
        ]

    def _label_maps(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Predict the labels (H, W) of images (H, W, 3), BGR, uint8."""
        if self.tile:
            return [self._predict_tiled(image) for image in images]
        labels: list[np.ndarray] = []
        for _, batch in groupby(
            self._prepare(images), lambda data: data['inputs'].shape
        ):
            labels += self._predict_whole(list(batch))
        return labels

    def logits(
        self, image: ImageLike
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Predict the logits of an image, part by part, each pixel once.

        Args:
            image: See `BasePredictor.__call__`.

        Yields:
            Rows and columns of the image as slices, and their logits
            (C, rows, columns). A model with one channel gives probabilities.

        Raises:
            ValueError: If the file cannot be read as an image.
        """
        pixels = read_image_input(image, self.channel_order)
        shape = pixels.shape[:2]

        def predict(rows: slice, columns: slice) -> Tensor:
            """Return the logits (C, h, w) of a tile."""
            tile = np.ascontiguousarray(pixels[rows, columns])
            (sample,) = self._test(self._prepare([tile]))
            self.on_tile()
            return sample.seg_logits.data

        return blend(predict, shape, self.tile or shape, self.overlap)

    def count_tiles(self, height: int, width: int) -> int:
        """Return the number of tiles of an image, for its size in pixels."""
        shape = height, width
        return count_tiles(shape, self.tile or shape, self.overlap)

    def _predict_whole(self, batch: list[dict]) -> list[np.ndarray]:
        """Predict a batch of images as a whole.

        The logits of a large image would take 4 * C bytes per pixel at its
        size. They are resized strip by strip instead.
        """
        shape = batch[0]['data_samples'].ori_shape
        numbers = len(batch) * len(self.classes) * shape[0] * shape[1]
        if numbers <= AT_ONCE or not isinstance(self.model, EncoderDecoder):
            return [
                self._labels(sample.seg_logits.data)
                for sample in self._test(batch)
            ]
        data = self.model.data_preprocessor(pseudo_collate(batch), False)
        metas = [sample.metainfo for sample in data['data_samples']]
        with torch.no_grad():
            logits = self.model.inference(data['inputs'], metas)
            return [
                self._resized_labels(entry, meta)
                for entry, meta in zip(logits, metas)
            ]

    def _resized_labels(self, logits: Tensor, meta: dict) -> np.ndarray:
        """Resize logits as mmseg does, and return the labels (H, W).

        Args:
            logits: Logits (C, h, w) of the padded, resized image.
            meta: Meta data with the padding and the original size (H, W).
        """
        left, right, top, bottom = meta.get(
            'img_padding_size', meta.get('padding_size', [0] * 4)
        )
        logits = logits[
            :, top : logits.shape[1] - bottom, left : logits.shape[2] - right
        ]  # (C, h, w), without padding
        labels = np.empty(meta['ori_shape'][:2], self._dtype)
        strips = resize_in_strips(
            logits, labels.shape, self.model.align_corners, AT_ONCE
        )
        for rows, strip in strips:
            labels[rows] = self._labels(
                strip if len(strip) > 1 else strip.sigmoid()
            )
        return labels

    def _predict_tiled(self, pixels: np.ndarray) -> np.ndarray:
        """Predict the labels (H, W) of an image tile by tile."""
        labels: np.ndarray = np.empty(pixels.shape[:2], self._dtype)
        for rows, columns, logits in self.logits(pixels):
            labels[rows, columns] = self._labels(logits)
        return labels

    def _test(self, batch: list[dict]) -> list:
        """Run the model's test step; return a data sample per image."""
        with torch.no_grad():
            return self.model.test_step(pseudo_collate(batch))

    def _labels(self, logits: Tensor) -> np.ndarray:
        """Return the labels (H, W) of logits (C, H, W), as mmseg does."""
        check_scores(logits, 'scores')
        if len(logits) > 1:
            labels = logits.argmax(0)
        else:
            labels = logits[0] > self.model.decode_head.threshold
        return labels.cpu().numpy().astype(self._dtype)

    @property
    def _dtype(self) -> type:
        """Type of label maps."""
        return np.uint8 if len(self.classes) <= 256 else np.uint16
