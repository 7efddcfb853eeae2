"""Crop clips for testing, and augment whole clips for training."""

from collections.abc import Callable

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageEnhance, ImageOps

from swin_dense.registry import TRANSFORMS

GREY = (128, 128, 128)  # fills pixels that geometric operations leave empty
LEVELS = 30  # largest magnitude


@TRANSFORMS.register_module()
class EvenCrops(BaseTransform):
    """Cut square crops at even distances along the longer side.

    The first crop is at one end, the last at the other; a single crop is in
    the middle. With three crops the result is that of mmaction2's
    `ThreeCrop`, ordered by place. `imgs` and `img_shape` are changed: `imgs`
    has all frames of the first crop, then all frames of the next crop.

    Args:
        crop_size: Side of the crops in pixels, which must be the shorter side
            of the frames.
        count: Number of crops.

    Raises:
        ValueError: If an argument is not positive.
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

        Args:
            results: `imgs`, T frames (H, W, 3).

        Returns:
            The same dict with `imgs`, count * T frames (crop_size, crop_size,
            3), and `img_shape`.

        Raises:
            ValueError: If the shorter side of the frames is not `crop_size`.
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
    """Return an operation that scales a property by 0.1 to 1.9."""

    def enhance(image: Image.Image, level: float, sign: int) -> Image.Image:
        """Scale the property by 1 + 0.9 * sign * level."""
        return kind(image).enhance(1 + 0.9 * sign * level)

    return enhance


def _fixed(function: Callable) -> Callable:
    """Return an operation that ignores level and sign."""
    return lambda image, level, sign: function(image)


def _move(x: float = 0, y: float = 0, slope: bool = False) -> Callable:
    """Return an operation that shears or shifts an image along x or y.

    Args:
        x: Largest change along x: a share of the width, or a slope.
        y: Largest change along y: a share of the height, or a slope.
        slope: If True, shear; otherwise shift.
    """

    def move(image: Image.Image, level: float, sign: int) -> Image.Image:
        """Shear or shift by sign * level times the largest change."""
        dx, dy = sign * level * x, sign * level * y
        if slope:  # shear about the centre
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
    """Rotate by up to 30 degrees."""
    return image.rotate(
        sign * 30 * level, Image.Resampling.BILINEAR, fillcolor=GREY
    )


def _posterize(image: Image.Image, level: float, sign: int) -> Image.Image:
    """Reduce each channel to 8 to 4 bits."""
    return ImageOps.posterize(image, 8 - round(4 * level))


def _solarize(image: Image.Image, level: float, sign: int) -> Image.Image:
    """Invert values above a threshold of 256 to 0."""
    return ImageOps.solarize(image, 256 - round(256 * level))


# Called with a frame, a level of 0 to 1 and a sign, +1 or -1.
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
    """Apply RandAugment (arXiv 1909.13719), the same to all frames of a clip.

    `count` operations are drawn with replacement. All have the same
    magnitude, and a random direction if they have two. `imgs`, frames
    `(H, W, 3)` in RGB, uint8, are changed.

    Args:
        count: Number of operations per clip.
        magnitude: Magnitude of the operations, 0 to 30.

    Raises:
        ValueError: If an argument is out of range.
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
        """Draw operations and apply them to every frame of `imgs`."""
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
        """Draw the operations for a clip as (name, direction)."""
        names = np.random.choice(list(OPERATIONS), self.count)
        signs = np.random.choice([-1, 1], self.count)
        return [(str(name), int(sign)) for name, sign in zip(names, signs)]

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(count={self.count}, '
            f'magnitude={self.magnitude})'
        )
