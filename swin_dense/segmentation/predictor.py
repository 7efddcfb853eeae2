"""Label maps of photographs from a config and a checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from swin_dense.engine.base_predictor import (
    BasePredictor,
    ImageLike,
    load_image,
)
from swin_dense.segmentation.tiles import (
    blend,
    check_tiling,
    count_tiles,
    resize_in_strips,
)

# Logits of images that are held at the size of the image: 256 MB of them.
AT_ONCE = 2**26


class SegmentationPredictor(BasePredictor):
    """A trained segmentor that takes files or arrays.

    Args:
        tile: Height and width of tiles, in pixels of the image. Each goes
            through the test pipeline as an image of that size would. None
            predicts images as a whole.
        overlap: The least overlap of neighbouring tiles, as a share.
        on_tile: Called after each tile.

    Other arguments and errors are those of BasePredictor.

    Attributes:
        palette: Colours of the classes as (red, green, blue), or None.
        file_values: For each label the value that stands for it in label
            maps of the config's test set: one more where the set has
            `reduce_zero_label`, that of all its classes where the model
            knows some of them.
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
        if tile is not None:
            check_tiling(tile, overlap)
        self.tile = tile
        self.overlap = overlap
        self.on_tile = on_tile
        super().__init__(*args, **kwargs)

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """See BasePredictor; reads no data."""
        settings = {
            key: value for key, value in dataset.items() if key != 'generate'
        }
        settings.update(pipeline=[], lazy_init=True)
        if classes:
            settings['metainfo'] = {
                **(dataset.get('metainfo') or {}),
                'classes': classes,
            }
        known = DATASETS.build(settings)
        names = list(known.metainfo['classes'])
        palette = known.metainfo.get('palette') or []
        self.palette = palette if len(palette) >= len(names) else None
        # All classes of the set, by the label that the model has for them.
        origin = {
            new: old
            for old, new in (known.label_map or {}).items()
            if new in range(len(names))
        }
        self.file_values = np.array(
            [
                origin.get(label, label) + bool(known.reduce_zero_label)
                for label in range(len(names))
            ]
        )
        return names

    def __call__(self, images: Sequence[ImageLike]) -> list[np.ndarray]:
        """See `predict`."""
        return self.predict(images)

    def predict(self, images: Sequence[ImageLike]) -> list[np.ndarray]:
        """Predict for some images; those of one size form a batch.

        Args:
            images: Paths, or arrays (H, W, 3), BGR, uint8.

        Returns:
            For each its labels (H, W), uint8, or uint16 where there are more
            than 256 classes.

        Raises:
            ValueError: If a file is no readable image.
        """
        if self.tile:
            return [self._predict_tiled(load_image(image)) for image in images]
        labels: list[np.ndarray] = []
        for _, batch in groupby(
            self._prepare(images), lambda data: data['inputs'].shape
        ):
            labels += self._predict_whole(list(batch))
        return labels

    def logits(
        self, image: ImageLike
    ) -> Iterator[tuple[slice, slice, Tensor]]:
        """Logits of an image, part by part, each pixel once.

        Args:
            image: A path, or an array (H, W, 3), BGR, uint8.

        Yields:
            Rows, columns and logits (C, rows, columns), at the size of the
            image. Of a model with one channel, they are probabilities.
        """
        pixels = load_image(image)
        shape = pixels.shape[:2]

        def predict(rows: slice, columns: slice) -> Tensor:
            tile = np.ascontiguousarray(pixels[rows, columns])
            (sample,) = self._test(self._prepare([tile]))
            self.on_tile()
            return sample.seg_logits.data

        return blend(predict, shape, self.tile or shape, self.overlap)

    def count_tiles(self, height: int, width: int) -> int:
        """How many tiles an image of this size has."""
        shape = height, width
        return count_tiles(shape, self.tile or shape, self.overlap)

    def _predict_whole(self, batch: list[dict]) -> list[np.ndarray]:
        """Predict images as a whole.

        Logits of a large image, at its size, would need 4 C bytes for each of
        its pixels: they are resized strip by strip.
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
        """Resize logits (C, h, w) as mmseg does, and take the labels.

        Args:
            logits: Of the image as the model saw it.
            meta: Its padding and its original size (H, W).

        Returns:
            Labels (H, W).
        """
        left, right, top, bottom = meta.get(
            'img_padding_size', meta.get('padding_size', [0] * 4)
        )
        logits = logits[
            :, top : logits.shape[1] - bottom, left : logits.shape[2] - right
        ]
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
        labels = np.empty(pixels.shape[:2], self._dtype)
        for rows, columns, logits in self.logits(pixels):
            labels[rows, columns] = self._labels(logits)
        return labels

    def _test(self, batch: list[dict]) -> list:
        with torch.no_grad():
            return self.model.test_step(pseudo_collate(batch))

    def _labels(self, logits: Tensor) -> np.ndarray:
        """Labels (H, W) from logits (C, H, W), as mmseg takes them."""
        if len(logits) > 1:
            labels = logits.argmax(0)
        else:
            labels = logits[0] > self.model.decode_head.threshold
        return labels.cpu().numpy().astype(self._dtype)

    @property
    def _dtype(self) -> type:
        return np.uint8 if len(self.classes) <= 256 else np.uint16
