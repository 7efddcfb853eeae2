"""Draw backgrounds of several textures, each of which is a stuff class.

H and W are the height and width of an image in pixels.
"""

from collections.abc import Callable, Sequence

import numpy as np

from swin_dense.synthetic.drawing import (
    background,
    rotation_matrix,
    smooth_field,
)

_Size = tuple[int, int]
MOST_REGIONS = 3


def _places(rng: np.random.Generator, size: _Size) -> np.ndarray:
    """Return coordinates `(2, H, W)` in pixels, rotated by a random angle."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    matrix = rotation_matrix(rng.uniform(0, 2 * np.pi))
    return np.stack(
        [
            x * matrix[0, 0] + y * matrix[1, 0],
            x * matrix[0, 1] + y * matrix[1, 1],
        ]
    )  # (2, H, W)


def _painted(rng: np.random.Generator, pattern: np.ndarray) -> np.ndarray:
    """Paint a pattern in shades of a random colour.

    Args:
        rng: Random generator.
        pattern: Values in -1 to 1, `(H, W)`.

    Returns:
        Colours `(H, W, 3)`.
    """
    paint = rng.uniform(40, 215, 3).astype(np.float32)
    contrast = rng.uniform(15, 40, 3).astype(np.float32)
    return paint + pattern[..., None] * contrast * rng.choice([-1, 1], 3)


def _sand(rng: np.random.Generator, size: _Size) -> np.ndarray:
    """Draw grains of one or two pixels `(H, W, 3)`."""
    return _painted(rng, np.tanh(smooth_field(rng, size, 1.5)[..., 0]))


def _waves(rng: np.random.Generator, size: _Size) -> np.ndarray:
    """Draw bent stripes `(H, W, 3)`."""
    bends = 4 * smooth_field(rng, size, 24)[..., 0]
    length = rng.uniform(6, 12)
    return _painted(
        rng, np.sin(2 * np.pi * (_places(rng, size)[0] + bends) / length)
    )


def _bricks(rng: np.random.Generator, size: _Size) -> np.ndarray:
    """Draw bricks with light joints `(H, W, 3)`.

    Each row is shifted by half a brick.
    """
    height = rng.uniform(6, 12)
    x, y = _places(rng, size) / height
    row = np.floor(y)
    joint = ((x / 2 + row / 2) % 1 < 0.1) | (y - row < 0.2)
    return _painted(rng, np.where(joint, 1.0, -0.5).astype(np.float32))


TEXTURES: dict[str, Callable[[np.random.Generator, _Size], np.ndarray]] = {
    'clouds': background,
    'sand': _sand,
    'waves': _waves,
    'bricks': _bricks,
}
"""Functions that draw a texture `(H, W, 3)` in about 0 to 255, by its name."""


def draw_ground(
    rng: np.random.Generator, size: _Size, textures: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a background of one to three regions, each with its own texture.

    Args:
        rng: Random generator.
        size: H and W.
        textures: Names of textures, keys of `TEXTURES`.

    Returns:
        The background `(H, W, 3)`, float32 in about 0 to 255, and the texture
        of each pixel `(H, W)`, an index into `textures`, uint8.
    """
    count = rng.integers(1, min(MOST_REGIONS, len(textures)) + 1)
    chosen = rng.choice(len(textures), count, replace=False)
    depth = smooth_field(rng, size, max(size) / 2)
    region = depth[..., :count].argmax(-1)
    picture = np.zeros((*size, 3), np.float32)
    for index, texture in enumerate(chosen):
        here = region == index
        picture[here] = TEXTURES[textures[texture]](rng, size)[here]
    return picture, chosen[region].astype(np.uint8)
