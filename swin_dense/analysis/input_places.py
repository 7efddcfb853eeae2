"""Places of an image's pixels in the input of a model."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

# Largest share of a pixel by which a straight line may miss a place.
TOLERANCE = 0.5


class Places(NamedTuple):
    """Place of each input pixel in the image, `offset + scale * input`.

    Coordinates are those of pixel centres; the first pixel is at 0.

    Attributes:
        scale: Image pixels per input pixel along x and y; negative if the
            input is mirrored.
        offset: Place of the first input pixel in the image, x and y.
    """

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_input(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of an image's pixel in the input, x and y."""
        first, second = (
            (place - offset) / scale
            for place, scale, offset in zip((x, y), self.scale, self.offset)
        )
        return first, second

    def on_image(
        self,
        values: np.ndarray,
        stride: int,
        shape: tuple[int, int],
        smooth: bool = False,
    ) -> np.ndarray:
        """Lay the values of tokens out on the pixels of the image.

        Args:
            values: Value of each token `(h, w)`. A token covers `stride`
                times `stride` pixels of the input, from its first pixel on.
            stride: Input pixels per token.
            shape: Height and width of the image.
            smooth: If true, interpolate between the middles of tokens;
                otherwise a pixel has the value of its token.

        Returns:
            Values `(H, W)` in float32.
        """
        columns, rows = (
            ((np.arange(size) - offset) / scale + 0.5) / stride - 0.5
            for size, scale, offset in zip(
                shape[::-1], self.scale, self.offset
            )
        )
        if not smooth:
            columns, rows = np.round(columns), np.round(rows)
        grid_x, grid_y = np.meshgrid(columns, rows)
        return cv2.remap(
            values.astype(np.float32),
            grid_x.astype(np.float32),
            grid_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def find_places(
    prepare: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int]
) -> Places:
    """Find where a pipeline puts the pixels of images of a size.

    An image whose values are the coordinates of its pixels is put through the
    pipeline, so resizing, crops, padding and mirroring are all accounted for.

    Args:
        prepare: Pipeline: takes an image `(H, W, 3)` in float32 and returns
            the input `(3, h, w)`.
        shape: Height and width of the image.

    Raises:
        ValueError: If the input is not a part of the image that is moved,
            resized or mirrored.
    """
    height, width = shape
    image = np.empty((height, width, 3), np.float32)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    image[..., 2] = 1
    try:
        x, y, inside = np.asarray(prepare(image), np.float32)  # each (h, w)
    except (cv2.error, TypeError, ValueError) as error:
        raise _not_traced(str(error)) from error
    is_inside = np.abs(inside - 1) < 1e-3
    if not is_inside.any():
        raise _not_traced('the values of pixels are changed')
    rows = np.flatnonzero(is_inside.any(1))
    columns = np.flatnonzero(is_inside.any(0))
    across, down = x[rows[0], columns], y[rows, columns[0]]
    fits = [_fit(columns, across, width), _fit(rows, down, height)]
    for index, values, (scale, offset) in zip(
        (columns, rows), (across, down), fits
    ):
        # At the border, interpolation repeats the last pixel.
        middle = slice(len(index) // 8, len(index) - len(index) // 8)
        miss = np.abs(offset + scale * index - values)[middle].max()
        if miss > TOLERANCE * max(1, abs(scale)):
            raise _not_traced(f'pixels are {miss:.1f} pixels off a line')
    (scale_x, left), (scale_y, top) = fits
    return Places((scale_x, scale_y), (left, top))


def _fit(
    index: np.ndarray, values: np.ndarray, size: int
) -> tuple[float, float]:
    """Fit a line through the places of input pixels, by its middle half."""
    quarter = len(index) // 4
    middle = slice(quarter, len(index) - quarter)
    first, last = middle.start, middle.stop - 1
    if values[first] == values[last]:  # a single row or column
        scale = size / len(index)
    else:
        step = index[last] - index[first]
        scale = (float(values[last]) - float(values[first])) / float(step)
    return scale, float(values[middle].mean() - scale * index[middle].mean())


def _not_traced(reason: str) -> ValueError:
    return ValueError(
        'the test pipeline of the config must only move, resize or mirror '
        f'images, so that pixels can be found again: {reason}. Leave other '
        'transforms out of test_dataloader.dataset.pipeline'
    )
