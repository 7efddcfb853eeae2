"""Draw explanations: maps over an image, and along the time of a clip."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from swin_dense.analysis.explain import ActivationMap, AttentionMap
from swin_dense.visualization.heat_map import (
    caption,
    draw_heat,
    mark_box,
    mark_point,
    tile,
)
from swin_dense.visualization.palette import class_colour

# Longest side in pixels of a picture, and of a picture among several.
LARGEST = 1600
LARGEST_OF_MANY = 480


def draw_attention(
    found: AttentionMap, heads: Sequence[int] | None = None
) -> np.ndarray:
    """Draw the attention of a block over an image.

    Args:
        found: The attention for an image.
        heads: Numbers of heads, a picture for each; None for the mean of all
            heads.

    Returns:
        A picture (height, width, 3) in BGR, uint8.

    Raises:
        ValueError: If there is no such head.
    """
    maps = found.select(heads)
    point = _query_pixel(found)
    numbers: Sequence[int | None] = heads or [None]
    pictures = []
    for number, values in zip(numbers, maps):
        image, layer, factor = _reduce(
            found.pixels,
            found.on_pixels(values),
            LARGEST if len(maps) == 1 else LARGEST_OF_MANY,
            cv2.INTER_NEAREST,
        )
        picture = draw_heat(image, layer, float(values.max()))
        if point is not None:
            mark_point(picture, [factor * place for place in point])
        pictures.append(caption(picture, describe_attention(found, number)))
    return tile(pictures, round(len(pictures) ** 0.5 + 0.49))


def describe_attention(found: AttentionMap, head: int | None) -> str:
    """Return a line that says what a map of attention shows."""
    which = (
        f'mean of {len(found.attention)} heads'
        if head is None
        else f'head {head}'
    )
    of = 'received from all tokens' if found.query is None else 'of one token'
    return f'attention {of}, block {found.stage}.{found.block}, {which}'


def draw_activation(
    found: ActivationMap, classes: Sequence[str]
) -> np.ndarray:
    """Draw a class activation over an image.

    Args:
        found: The activation for an image.
        classes: Class names in label order.

    Returns:
        A picture (height, width, 3) in BGR, uint8.
    """
    values = found.activation
    image, layer, factor = _reduce(
        found.pixels, found.on_pixels(values), LARGEST, cv2.INTER_LINEAR
    )
    picture = draw_heat(image, layer, float(values.max()))
    if found.box is not None:
        mark_box(
            picture, (factor * found.box).tolist(), class_colour(found.label)
        )
    if found.point is not None:
        mark_point(picture, [factor * place for place in found.point])
    return caption(picture, describe_activation(found, classes))


def describe_activation(found: ActivationMap, classes: Sequence[str]) -> str:
    """Return a line that says what a class activation shows."""
    line = f'evidence for {classes[found.label]} {found.score:.2f}'
    if len(found.levels) > 1:
        share = found.shares[found.level]
        line += (
            f', map {found.level} of 0-{len(found.levels) - 1} '
            f'(stride {found.stride}): {share:.0%}'
        )
    return line


def draw_frames(
    found: AttentionMap | ActivationMap, values: np.ndarray
) -> Iterator[np.ndarray]:
    """Draw a map over each frame of a clip.

    Args:
        found: The attention or activation for a clip.
        values: Values of its tokens `(T', h, w)`. The largest value of all
            times is the brightest.

    Yields:
        A picture (H, W, 3) in RGB, uint8, of each frame that the model sees.
    """
    limit = float(values.max())
    query = found.query if isinstance(found, AttentionMap) else None
    for index, (frame, layer) in enumerate(
        zip(found.pixels, found.on_pixels(values))
    ):
        picture = draw_heat(frame[..., ::-1], layer, limit)
        if query is not None and index // found.frames_per_token == query[0]:
            mark_point(picture, _middle(query[1:], found.stride))
        yield np.ascontiguousarray(picture[..., ::-1])


def draw_strip(
    frames: Sequence[np.ndarray], times: Sequence[str], text: str
) -> np.ndarray:
    """Draw frames of a clip in rows, each below its time.

    Args:
        frames: Pictures (H, W, 3) in RGB, uint8, of one size.
        times: Time of each frame.
        text: Line above all frames.

    Returns:
        A picture (height, width, 3) in BGR, uint8.
    """
    pictures = [
        caption(np.ascontiguousarray(frame[..., ::-1]), when)
        for frame, when in zip(frames, times)
    ]
    return caption(tile(pictures, 4), text)


def _query_pixel(found: AttentionMap) -> tuple[float, float] | None:
    """Return the middle of the query in pixels of the image, x and y."""
    if found.query is None:
        return None
    point = _middle(found.query, found.stride)
    x, y = (
        offset + scale * place
        for place, scale, offset in zip(
            point, found.places.scale, found.places.offset
        )
    )
    height, width = found.pixels.shape[:2]
    return min(max(x, 0), width - 1), min(max(y, 0), height - 1)


def _middle(token: Sequence[int], stride: int) -> tuple[float, float]:
    """Return the middle of a token in pixels of the input, x and y."""
    row, column = token
    return (column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5


def _reduce(
    image: np.ndarray, values: np.ndarray, largest: int, how: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Reduce an image and a map to a longest side; return the factor, too."""
    factor = min(1.0, largest / max(image.shape[:2]))
    if factor == 1:
        return image, values, factor
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    return (
        cv2.resize(image, size, interpolation=cv2.INTER_AREA),
        cv2.resize(values, size, interpolation=how),
        factor,
    )
