"""Batches of images without labels, ready for the model."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """Moves batches to the device of the model, and normalises the images.

    Args:
        mean: Mean of each channel, red first, for pixels from 0 to 255.
        std: Standard deviation of each channel.
        bgr_to_rgb: If true, the channels of the images are BGR and become
            RGB.
        non_blocking: If true, data is moved while the CPU goes on.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        bgr_to_rgb: bool = True,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        self.bgr_to_rgb = bgr_to_rgb
        for name, values in (('mean', mean), ('std', std)):
            column = torch.tensor(values, dtype=torch.float32)[:, None, None]
            self.register_buffer(name, column, persistent=False)  # (3, 1, 1)

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict:
        """Return the batch with normalised `inputs`.

        Args:
            data: `inputs` `(B, 3, H, W)` or a list of views of this shape,
                and entries that stay as they are.
            training: Not used; the images are the same in both cases.
        """
        batch = dict(self.cast_data(dict(data)))
        inputs = batch['inputs']
        batch['inputs'] = (
            self.normalise(inputs)
            if isinstance(inputs, Tensor)
            else [self.normalise(view) for view in inputs]
        )
        return batch

    def normalise(self, images: Tensor) -> Tensor:
        """Return images `(B, 3, H, W)` in RGB with mean 0 and deviation 1."""
        if self.bgr_to_rgb:
            images = images.flip(1)
        return (images.float() - self.mean) / self.std

    def restore(self, images: Tensor) -> Tensor:
        """Return normalised images `(B, 3, H, W)` as pixels, uint8."""
        pixels = (images * self.std + self.mean).round().clamp(0, 255)
        pixels = pixels.to(torch.uint8)
        return pixels.flip(1) if self.bgr_to_rgb else pixels
