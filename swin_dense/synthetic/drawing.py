"""Draw one image of overlapping, textured, shaded shapes.

Every shape has the exact mask of its visible part. H and W are the height and
width of the image in pixels; K is the number of its shapes, in drawing order.
"""

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np

# A shape that would leave less than this share of another shape visible is
# placed again: nearly hidden shapes would have no useful annotation.
MIN_VISIBLE = 0.15
SUBPIXEL_BITS = 4


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """Return the corners `(corners, 2)` of a polygon in the unit circle.

    Every second corner is at radius `inner`.
    """
    angle = 2 * np.pi * np.arange(corners) / corners
    radius = np.where(np.arange(corners) % 2, inner, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


SHAPES: dict[str, np.ndarray] = {
    'circle': _regular(72),
    'square': _regular(4),
    'triangle': _regular(3),
    'pentagon': _regular(5),
    'hexagon': _regular(6),
    'star': _regular(10, inner=0.45),
}
"""Corners `(n, 2)` of each class in the unit circle."""


def rotation_matrix(angle: float) -> np.ndarray:
    """Return the matrix `(2, 2)` that rotates row vectors.

    Args:
        angle: Angle in radians.
    """
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]], np.float32)


def smooth_field(
    rng: np.random.Generator, size: tuple[int, int], cell: float
) -> np.ndarray:
    """Draw a smooth random field of about unit variance.

    Args:
        rng: Random generator.
        size: H and W.
        cell: Size of the blobs in pixels.

    Returns:
        The field `(H, W, 3)`, float32.
    """
    height, width = size
    grid = rng.standard_normal(
        (math.ceil(height / cell) + 1, math.ceil(width / cell) + 1, 3),
        np.float32,
    )
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw coloured clouds at two scales, `(H, W, 3)` in about 0 to 255."""
    colour = rng.uniform(0, 255, 3).astype(np.float32)
    coarse = smooth_field(rng, size, max(size) / 3)
    fine = smooth_field(rng, size, rng.uniform(4, 16))
    return colour + rng.uniform(10, 40) * coarse + rng.uniform(2, 12) * fine


def _paint(rng: np.random.Generator, label: int, count: int) -> np.ndarray:
    """Choose a colour (blue, green, red), 0 to 255, in the hues of a class.

    Each of `count` classes has an equal range of hues.
    """
    hue = (label + rng.uniform(0.1, 0.9)) / count
    red, green, blue = colorsys.hsv_to_rgb(hue, *rng.uniform(0.4, 1, 2))
    return 255 * np.array([blue, green, red])


def _surface(
    rng: np.random.Generator,
    mask: np.ndarray,
    centre: np.ndarray,
    radius: float,
    paint: np.ndarray | None = None,
) -> np.ndarray:
    """Return the colours of a shape: paint, pattern, and light from one side.

    Args:
        rng: Random generator.
        mask: Pixels of the shape `(H, W)`, bool.
        centre: Centre (x, y) in pixels.
        radius: Circumradius in pixels.
        paint: Colour (blue, green, red); any colour if None.

    Returns:
        A colour for each of the n pixels of the mask `(n, 3)`.
    """
    y, x = np.nonzero(mask)
    place = np.stack([x + 0.5, y + 0.5], 1) - centre  # (n, 2)
    place = (place / radius).astype(np.float32)
    turn, light = rng.uniform(0, 2 * np.pi, 2)
    waves = np.sin(rng.uniform(3, 12) * (place @ rotation_matrix(turn)))
    pattern = rng.choice(['plain', 'stripes', 'checks'])
    if pattern == 'stripes':
        strength = waves[:, :1]
    elif pattern == 'checks':
        strength = np.sign(waves[:, :1] * waves[:, 1:])
    else:
        strength = np.zeros_like(waves[:, :1])
    shade = 1 + rng.uniform(0.1, 0.4) * (place @ rotation_matrix(light))[:, :1]
    if paint is None:
        paint = rng.uniform(0, 255, 3)
    second = rng.uniform(-40, 40, 3)
    return (paint + strength * second) * shade


def _place(
    rng: np.random.Generator,
    size: tuple[int, int],
    corners: np.ndarray,
    radius: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, float]:
    """Place a shape at random.

    Returns:
        Its mask `(H, W)`, its centre (x, y) and its circumradius in pixels.
    """
    r = rng.uniform(*radius)
    centre = rng.uniform((0, 0), (size[1], size[0]))
    turn = rng.uniform(0, 2 * np.pi)
    # OpenCV's coordinates are integers at pixel centres, `centre` has them at
    # pixel corners.
    points = centre - 0.5 + r * corners @ rotation_matrix(turn)
    mask = np.zeros(size, np.uint8)
    fixed = np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 1, shift=SUBPIXEL_BITS)
    return mask.astype(bool), centre, r


def draw_image(
    rng: np.random.Generator,
    image_size: tuple[int, int] = (256, 256),
    classes: Sequence[str] = ('circle', 'square', 'triangle'),
    num_shapes: tuple[int, int] = (2, 5),
    radius: tuple[float, float] = (15, 50),
    empty: float = 0.05,
    ground: np.ndarray | None = None,
    hues: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image of shapes.

    Args:
        rng: Random generator.
        image_size: H and W.
        classes: Names of shapes, keys of `SHAPES`.
        num_shapes: Fewest and most shapes in an image that is not empty.
            Crowded images may have fewer; see `MIN_VISIBLE`.
        radius: Smallest and largest circumradius in pixels.
        empty: Share of images without any shape.
        ground: Background `(H, W, 3)` in 0 to 255; coloured clouds if None.
        hues: If True, each class of shapes has its own range of hues.
            Backgrounds may have the same hues.

    Returns:
        The image `(H, W, 3)` in BGR, uint8; the masks `(K, H, W)` of the
        visible parts, bool and disjoint; the labels `(K,)`, indices into
        `classes`.
    """
    canvas = background(rng, image_size) if ground is None else ground.copy()
    wanted = int(rng.integers(num_shapes[0], num_shapes[1] + 1))
    if rng.random() < empty:
        wanted = 0
    visible: list[np.ndarray] = []
    whole: list[int] = []
    labels: list[int] = []
    for _ in range(wanted):
        label = int(rng.integers(len(classes)))
        for _ in range(20):
            mask, centre, r = _place(
                rng, image_size, SHAPES[classes[label]], radius
            )
            rest = [other & ~mask for other in visible]
            area = int(mask.sum())
            if area >= MIN_VISIBLE * r * r and all(
                part.sum() >= MIN_VISIBLE * full
                for part, full in zip(rest, whole)
            ):
                break
        else:
            continue
        visible = rest + [mask]
        whole.append(area)
        labels.append(label)
        paint = _paint(rng, label, len(classes)) if hues else None
        canvas[mask] = _surface(rng, mask, centre, r, paint)
    # As a camera would: edges one pixel soft, noise on every pixel.
    blurred = cv2.GaussianBlur(canvas, (3, 3), 0.6)
    noise = rng.standard_normal(canvas.shape, np.float32)
    noisy = blurred + np.float32(rng.uniform(4, 16)) * noise
    image = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    masks = np.array(visible, bool).reshape(-1, *image_size)  # (K, H, W)
    return image, masks, np.array(labels, np.int64)
