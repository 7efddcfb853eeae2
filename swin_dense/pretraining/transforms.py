"""Augmentation of images without labels.

Each transform takes and returns the dictionary of an item, whose `img` is
(H, W, 3) uint8 in BGR. Random numbers come from NumPy's global generator,
which a run seeds for each item.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import Any

import numpy as np
import torch
from PIL import Image

from swin_dense.ops import to_tuple
from swin_dense.ops.grid import IntOrGrid
from swin_dense.registry import TRANSFORMS

# Attempts to find a rectangle inside of the image, as in torchvision.
_ATTEMPTS = 10


@TRANSFORMS.register_module()
class RandomResizedCrop:
    """Resize a random rectangle of the image to a fixed size, bilinearly.

    Area and aspect ratio are drawn as in torchvision. If ten rectangles do
    not fit, the largest central one within the ratios is taken.

    Args:
        size: Size of the result in pixels, one number or (height, width).
        scale: Smallest and largest share of the image's area.
        ratio: Smallest and largest width divided by height; logarithms are
            drawn uniformly.

    Raises:
        ValueError: If a range is not rising, or not positive.
    """

    def __init__(
        self,
        size: IntOrGrid,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
    ) -> None:
        for name, limits in (('scale', scale), ('ratio', ratio)):
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise ValueError(
                    f'RandomResizedCrop: {name}={limits} must be two positive '
                    'numbers, the smaller one first'
                )
        self.size = to_tuple(size, 2, 'size')
        self.scale, self.ratio = scale, ratio

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop and resize `img`."""
        image = results['img']
        top, left, height, width = self.draw(*image.shape[:2])
        crop = np.ascontiguousarray(
            image[top : top + height, left : left + width]
        )
        rows, columns = self.size
        resized = Image.fromarray(crop).resize(
            (columns, rows), Image.Resampling.BILINEAR
        )
        return {**results, 'img': np.asarray(resized)}

    def draw(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Draw a rectangle: top, left, height and width in pixels.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        smallest, largest = self.scale
        least, most = self.ratio
        for _ in range(_ATTEMPTS):
            area = height * width * np.random.uniform(smallest, largest)
            ratio = exp(np.random.uniform(log(least), log(most)))
            w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = np.random.randint(0, height - h + 1)
                left = np.random.randint(0, width - w + 1)
                return top, left, h, w
        ratio = min(max(width / height, least), most)
        w = min(width, max(1, round(height * ratio)))
        h = min(height, max(1, round(width / ratio)))
        return (height - h) // 2, (width - w) // 2, h, w


@TRANSFORMS.register_module()
class HorizontalFlip:
    """Mirror the image at random.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Flip `img`, or leave it as it is."""
        if np.random.rand() < self.prob:
            return {**results, 'img': results['img'][:, ::-1]}
        return results


@TRANSFORMS.register_module()
class PackImages:
    """Keep what the model takes: the image as a tensor, and given entries.

    Args:
        keys: Entries to keep besides `inputs`, the image (3, H, W).
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self.keys = keys

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the entries, arrays as tensors."""
        packed = {key: torch.as_tensor(results[key]) for key in self.keys}
        return {**packed, 'inputs': pixels_first(results['img'])}


def pixels_first(image: np.ndarray) -> torch.Tensor:
    """Return an image (H, W, 3) as a tensor (3, H, W) of its own."""
    channels = image.transpose(2, 0, 1)  # (3, H, W)
    return torch.from_numpy(channels.copy())
