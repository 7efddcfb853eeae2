"""A random change of colours: one of nine, with a random strength."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance, ImageOps

from swin_dense.registry import TRANSFORMS


def _enhanced(kind: type) -> Callable[[Image.Image, int], Image.Image]:
    """Return a change that blends an image with a degenerate one."""
    return lambda image, level: kind(image).enhance(0.1 + 1.8 * level / 10)


CHANGES: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    'identity': lambda image, level: image,
    'auto contrast': lambda image, level: ImageOps.autocontrast(image),
    'equalize': lambda image, level: ImageOps.equalize(image),
    'solarize': lambda image, level: ImageOps.solarize(
        image, round(256 * level / 10)
    ),
    'posterize': lambda image, level: ImageOps.posterize(
        image, 4 - int(0.4 * level)
    ),
    'colour': _enhanced(ImageEnhance.Color),
    'contrast': _enhanced(ImageEnhance.Contrast),
    'brightness': _enhanced(ImageEnhance.Brightness),
    'sharpness': _enhanced(ImageEnhance.Sharpness),
}


@TRANSFORMS.register_module()
class ColourChange(BaseTransform):
    """Change the colours of an image in one of nine ways, by chance.

    The ways and strengths are those of Soft Teacher's published configs, with
    levels 1 to 9. mmdet's recipe has another set, with strengths of its own.

    Args:
        changes: Names in `CHANGES`; by default all.

    Raises:
        ValueError: If a name is unknown.
    """

    def __init__(self, changes: list[str] | None = None) -> None:
        self.changes = list(CHANGES) if changes is None else list(changes)
        unknown = sorted(set(self.changes) - set(CHANGES))
        if unknown or not self.changes:
            raise ValueError(
                f'ColourChange has no change {unknown}; choose from '
                f'{", ".join(CHANGES)}'
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img`, (H, W, 3) uint8 in BGR."""
        change = CHANGES[random.choice(self.changes)]
        level = random.randint(1, 9)
        image = Image.fromarray(results['img'][..., ::-1])
        changed = np.asarray(change(image, level))[..., ::-1]
        return dict(results, img=np.ascontiguousarray(changed))
