"""Draw contact sheets: pictures of an image side by side, image by image."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from swin_dense.visualization.instances import InstanceArrays, draw_instances
from swin_dense.visualization.labels import (
    PAGE_COLOUR,
    TEXT_COLOUR,
    draw_labels,
    draw_legend,
)
from swin_dense.visualization.text import put_text, text_size


def contact_sheet(
    pairs: Sequence[tuple[np.ndarray, Any, Any]],
    classes: Sequence[str],
    *,
    palette: Sequence[Sequence[int]] | None = None,
    score_thr: float = 0.3,
    titles: Sequence[str] = ('ground truth', 'prediction'),
    columns: int = 2,
    tile: int = 320,
) -> np.ndarray:
    """Draw ground truth and prediction of images side by side.

    Images are resized before the instances are drawn, so that lines and text
    stay sharp on small images too.

    Args:
        pairs: For each image the image (H, W, 3), BGR, uint8, its ground
            truth and its prediction, both as `draw_instances` takes them.
        classes: Class names in label order.
        palette: Colours of the classes as (red, green, blue); those of
            `class_colour` if None.
        score_thr: Predictions with a lower score are left out.
        titles: Titles of the left and the right picture of a pair.
        columns: Number of pairs beside each other.
        tile: Longer side of each picture in pixels.

    Returns:
        The sheet, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no pairs, or an entry cannot be drawn.
    """
    tiles = []
    for image, *contents in pairs:
        resized, factor = _resized(image, tile)
        size = resized.shape[1::-1]
        tiles.append(
            [
                draw_instances(
                    resized,
                    InstanceArrays.read(instances).resized(size, factor),
                    classes,
                    score_thr,
                    # Of several classes, an object has one colour in both.
                    colour_by='class' if len(classes) > 1 else 'instance',
                    palette=palette,
                )
                for instances in contents
            ]
        )
    return _arrange(tiles, titles, columns, tile)


def label_sheet(
    pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    *,
    titles: Sequence[str] = ('ground truth', 'prediction'),
    columns: int = 2,
    tile: int = 320,
) -> np.ndarray:
    """Draw two label maps of each image side by side, with a legend.

    Args:
        pairs: For each image the image (H, W, 3), BGR, uint8, and the label
            maps (H, W) of its ground truth and its prediction.
        classes: Class names in label order.
        palette: Colours as (red, green, blue); those of `class_colour` if
            None.
        titles: Titles of the left and the right picture of a pair.
        columns: Number of pairs beside each other.
        tile: Longer side of each picture in pixels.

    Returns:
        The sheet, (height, width, 3) uint8, BGR. Its legend shows the share
        of each class in the ground truth.

    Raises:
        ValueError: If there are no pairs, or an entry cannot be drawn.
    """
    tiles = []
    for image, *contents in pairs:
        resized, _ = _resized(image, tile)
        tiles.append(
            [
                draw_labels(
                    resized,
                    cv2.resize(
                        labels.astype(np.int16),
                        resized.shape[1::-1],
                        interpolation=cv2.INTER_NEAREST,
                    ),
                    classes,
                    palette,
                    legend=False,
                )
                for labels in contents
            ]
        )
    sheet = _arrange(tiles, titles, columns, tile)
    truths = [truth for _, truth, _ in pairs]
    return np.vstack(
        [sheet, draw_legend(truths, classes, sheet.shape[1], palette)]
    )


def picture_sheet(
    groups: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    *,
    columns: int = 1,
    tile: int = 224,
) -> np.ndarray:
    """Draw groups of pictures, those of a group side by side.

    Args:
        groups: For each image its pictures (H, W, 3), BGR, uint8.
        titles: Titles of the pictures of a group.
        columns: Number of groups beside each other.
        tile: Longer side of each picture in pixels.

    Returns:
        The sheet, (height, width, 3) uint8, BGR.

    Raises:
        ValueError: If there are no groups.
    """
    tiles = [
        [_resized(picture, tile)[0] for picture in group] for group in groups
    ]
    return _arrange(tiles, titles, columns, tile)


def _resized(image: np.ndarray, tile: int) -> tuple[np.ndarray, float]:
    """Resize an image to a longer side of `tile`; return it and the factor."""
    factor = tile / max(image.shape[:2])
    size = (
        max(1, round(image.shape[1] * factor)),
        max(1, round(image.shape[0] * factor)),
    )
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=method), factor


def _arrange(
    tiles: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    columns: int,
    tile: int,
) -> np.ndarray:
    """Arrange groups of pictures in columns below their titles."""
    if not tiles:
        raise ValueError('a contact sheet needs at least one image, got none')
    columns = min(columns, len(tiles))
    gap, size = tile // 32, max(12, tile // 18)
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(pair[0].shape[0] for pair in row) for row in rows]

    head = text_size('X', size, bold=True)[1] + 2 * gap
    # The tiles and the gaps between them, then a wider gap to the next group.
    num = len(titles)
    pitch = num * tile + (num + 2) * gap
    sheet = np.full(
        (head + sum(heights) + gap * len(rows), columns * pitch, 3),
        PAGE_COLOUR,
        np.uint8,
    )
    for column in range(columns):
        for side, title in enumerate(titles):
            middle = column * pitch + 3 * gap // 2 + side * (tile + gap)
            middle += tile // 2
            width = text_size(title, size, bold=True)[0]
            put_text(
                sheet,
                title,
                (middle - width // 2, gap),
                size,
                TEXT_COLOUR,
                bold=True,
            )
    y = head
    for row, height in zip(rows, heights):
        for column, pair in enumerate(row):
            for side, picture in enumerate(pair):
                h, w = picture.shape[:2]
                x = column * pitch + 3 * gap // 2 + side * (tile + gap)
                x += (tile - w) // 2
                sheet[y : y + h, x : x + w] = picture
        y += height + gap
    return sheet
