"""Crops for testing, and augmentation of whole clips."""

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance, ImageOps

from swin_dense.registry import TRANSFORMS

# What geometric operations leave empty.
GREY = (128, 128, 128)
# Magnitudes count from 0 to this.
LEVELS = 30


@TRANSFORMS.register_module()
class EvenCrops(BaseTransform):
    """Square crops at even distances along the longer side.

    The first lies at one end, the last at the other; a single one lies in the
    middle. With three it does what mmaction2's `ThreeCrop` does, in the order
    of their places. Changes `imgs` and `img_shape`: the crops of a clip come
    after one another, each with all frames.

    Args:
        crop_size: Side of the crops, in pixels; also the shorter side of the
            frames.
        count: Number of crops.
    """

    def __init__(self, crop_size: int, count: int = 3) -> None:
        if crop_size < 1 or count < 1:
            raise ValueError(
                'crop_size and count must be positive, got '
                f'{crop_size=} and {count=}'
            )
        self.crop_size = crop_size
        self.count = count

    def transform(self, results: dict) -> dict:
        """Cut the crops.

        Raises:
            ValueError: If the shorter side of the frames is another.
        """
        height, width = results['imgs'][0].shape[:2]
        side = self.crop_size
        if min(height, width) != side:
            raise ValueError(
                f'EvenCrops(crop_size={side}) needs frames whose shorter side '
                f'is {side}, got {height} x {width} (height x width): put '
                f"dict(type='Resize', scale=(-1, {side})) before it"
            )
        room = max(height, width) - side
        places = (
            [room // 2]
            if self.count == 1
            else np.linspace(0, room, self.count).astype(int)
        )
        crops = []
        for place in places:
            top, left = (place, 0) if height > width else (0, place)
            crops += [
                image[top : top + side, left : left + side]
                for image in results['imgs']
            ]
        results['imgs'] = crops
        results['img_shape'] = (side, side)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(crop_size={self.crop_size}, '
            f'count={self.count})'
        )


def _enhance(kind: Callable) -> Callable:
    """More or less of a property; at most a tenth or nearly twice of it."""

    def enhance(image: Image.Image, level: float, sign: int) -> Image.Image:
        return kind(image).enhance(1 + 0.9 * sign * level)

    return enhance


def _fixed(function: Callable) -> Callable:
    """What has no strength."""
    return lambda image, level, sign: function(image)


def _move(x: float = 0, y: float = 0, slope: bool = False) -> Callable:
    """Shear, or shift by a share of the side, along x or y."""

    def move(image: Image.Image, level: float, sign: int) -> Image.Image:
        dx, dy = sign * level * x, sign * level * y
        if slope:  # the middle stays where it is
            matrix = (
                1,
                dx,
                -dx * image.height / 2,
                dy,
                1,
                -dy * image.width / 2,
            )
        else:
            matrix = (1, 0, dx * image.width, 0, 1, dy * image.height)
        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix,
            Image.Resampling.BILINEAR,
            fillcolor=GREY,
        )

    return move


def _rotate(image: Image.Image, level: float, sign: int) -> Image.Image:
    return image.rotate(
        sign * 30 * level, Image.Resampling.BILINEAR, fillcolor=GREY
    )


def _posterize(image: Image.Image, level: float, sign: int) -> Image.Image:
    return ImageOps.posterize(image, 8 - round(4 * level))


def _solarize(image: Image.Image, level: float, sign: int) -> Image.Image:
    return ImageOps.solarize(image, 256 - round(256 * level))


# What each does to a frame at a level of 0 to 1; the sign is +1 or -1.
OPERATIONS: dict[str, Callable[[Image.Image, float, int], Image.Image]] = {
    'identity': _fixed(lambda image: image),
    'autocontrast': _fixed(ImageOps.autocontrast),
    'equalize': _fixed(ImageOps.equalize),
    'invert': _fixed(ImageOps.invert),
    'posterize': _posterize,
    'solarize': _solarize,
    'rotate': _rotate,
    'color': _enhance(ImageEnhance.Color),
    'contrast': _enhance(ImageEnhance.Contrast),
    'brightness': _enhance(ImageEnhance.Brightness),
    'sharpness': _enhance(ImageEnhance.Sharpness),
    'shear_x': _move(x=0.3, slope=True),
    'shear_y': _move(y=0.3, slope=True),
    'shift_x': _move(x=0.45),
    'shift_y': _move(y=0.45),
}


@TRANSFORMS.register_module()
class ClipRandAugment(BaseTransform):
    """RandAugment (arXiv 1909.13719), the same for all frames of a clip.

    Each time `count` operations are drawn, any of them perhaps twice, and each
    is applied at the same magnitude, in a random direction where it has two.
    Changes `imgs`, frames `(H, W, 3)` in RGB, uint8.

    Args:
        count: Operations per clip.
        magnitude: Their strength, 0 to 30.
    """

    def __init__(self, count: int = 4, magnitude: int = 7) -> None:
        if count < 0 or not 0 <= magnitude <= LEVELS:
            raise ValueError(
                f'count must not be negative and magnitude lie in 0..{LEVELS},'
                f' got {count=} and {magnitude=}'
            )
        self.count = count
        self.magnitude = magnitude

    def transform(self, results: dict) -> dict:
        """Draw the operations, apply them to every frame."""
        drawn = self.draw()
        level = self.magnitude / LEVELS
        augmented = []
        for pixels in results['imgs']:
            image = Image.fromarray(np.ascontiguousarray(pixels))
            for name, sign in drawn:
                image = OPERATIONS[name](image, level, sign)
            augmented.append(np.array(image))
        results['imgs'] = augmented
        return results

    def draw(self) -> list[tuple[str, int]]:
        """Names and directions of the operations for a clip."""
        names = np.random.choice(list(OPERATIONS), self.count)
        signs = np.random.choice([-1, 1], self.count)
        return [(str(name), int(sign)) for name, sign in zip(names, signs)]

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(count={self.count}, '
            f'magnitude={self.magnitude})'
        )
