"""Two views of each image, with the colours of BYOL's augmentation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from swin_dense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class TwoViews:
    """Make two views of an image, each by a pipeline of its own.

    Args:
        first: Transforms of the first view, which end with `PackImages`.
        second: Transforms of the second view.
    """

    def __init__(self, first: Sequence[Any], second: Sequence[Any]) -> None:
        # Built here, since Compose would look for them in the host's scope.
        self.pipelines = [
            Compose([TRANSFORMS.build(step) for step in steps])
            for steps in (first, second)
        ]

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return both views as the list `inputs`."""
        views: list[Any] = [make(dict(results)) for make in self.pipelines]
        return dict(inputs=[view['inputs'] for view in views])


class _PictureTransform:
    """A transform of PIL images in RGB, applied with a probability.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(
                f'{type(self).__name__}: prob={prob} must be from 0 to 1'
            )
        self.prob = prob

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img`, (H, W, 3) uint8 in BGR, or leave it as it is."""
        if np.random.rand() >= self.prob:
            return results
        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        changed = np.asarray(self.change(Image.fromarray(rgb)))
        return {**results, 'img': changed[..., ::-1]}

    def change(self, picture: Image.Image) -> Image.Image:
        """Return the changed picture."""
        raise NotImplementedError


@TRANSFORMS.register_module()
class ColourJitter(_PictureTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    Args:
        brightness: The factor is drawn from 1 - brightness to 1 + brightness.
        contrast: The same for the contrast.
        saturation: The same for the saturation.
        hue: Largest shift of the hue, as a part of the circle, at most 0.5.
        prob: Probability that anything changes.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.2,
        hue: float = 0.1,
        prob: float = 0.8,
    ) -> None:
        super().__init__(prob)
        self.enhancers = (
            (ImageEnhance.Brightness, brightness),
            (ImageEnhance.Contrast, contrast),
            (ImageEnhance.Color, saturation),
        )
        self.hue = hue

    def change(self, picture: Image.Image) -> Image.Image:
        """Return the changed picture."""
        for number in np.random.permutation(4):
            if number == 3:
                picture = self._turn_hue(picture)
                continue
            enhancer, width = self.enhancers[number]
            factor = np.random.uniform(max(0.0, 1 - width), 1 + width)
            picture = enhancer(picture).enhance(factor)
        return picture

    def _turn_hue(self, picture: Image.Image) -> Image.Image:
        shift = round(255 * np.random.uniform(-self.hue, self.hue))
        hue, saturation, value = picture.convert('HSV').split()
        turned = (np.asarray(hue).astype(int) + shift) % 256
        hue = Image.fromarray(turned.astype(np.uint8))
        return Image.merge('HSV', (hue, saturation, value)).convert('RGB')


@TRANSFORMS.register_module()
class Grey(_PictureTransform):
    """Remove the colours.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def change(self, picture: Image.Image) -> Image.Image:
        """Return the picture in shades of grey, with three channels."""
        return picture.convert('L').convert('RGB')


@TRANSFORMS.register_module()
class Blur(_PictureTransform):
    """Blur with a Gaussian.

    Args:
        prob: Probability.
        radius: Smallest and largest standard deviation in pixels.
    """

    def __init__(
        self, prob: float, radius: tuple[float, float] = (0.1, 2.0)
    ) -> None:
        super().__init__(prob)
        self.radius = radius

    def change(self, picture: Image.Image) -> Image.Image:
        """Return the blurred picture."""
        radius = np.random.uniform(*self.radius)
        return picture.filter(ImageFilter.GaussianBlur(radius))


@TRANSFORMS.register_module()
class Solarise(_PictureTransform):
    """Invert all values of 128 and above.

    Args:
        prob: Probability.
    """

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def change(self, picture: Image.Image) -> Image.Image:
        """Return the picture with its bright values inverted."""
        return ImageOps.solarize(picture)
