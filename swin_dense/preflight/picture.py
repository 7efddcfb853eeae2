"""Draw a batch as the model sees it, after augmentation."""

from typing import Any

import cv2
import numpy as np
from mmengine.runner import set_random_seed

from swin_dense.data.wrappers import class_names_of, inner_datasets
from swin_dense.engine.cli import write_image
from swin_dense.preflight.results import Finding

COUNT = 8
TILE = 480  # longer side of a sample, in pixels
GAP = 8
NAME = 'batch.png'


def check(context: Any) -> Finding:
    """Write a picture of samples of the training set.

    Raises:
        ValueError: If the pipeline fails.
    """
    dataset = context.dataset('train')
    first = inner_datasets(dataset)[0]
    meta = {**first.metainfo, 'classes': class_names_of(dataset)}
    draw = context.task.load('draw_sample')
    count = min(COUNT, len(dataset))
    places = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    set_random_seed(0)
    tiles = []
    for place in places.tolist():
        sample = dataset[place]
        image = first_image(sample['inputs'])
        tiles.append(draw(sample, image, meta))
    path = context.out / NAME
    write_image(path, arrange(tiles))
    return Finding(
        f'{count} {context.task.unit} after augmentation: {path}',
        (),
        dict(picture=str(path)),
    )


def first_image(inputs: Any) -> np.ndarray:
    """Return the image of a sample, or the first frame of its first view.

    Returns:
        The image (H, W, 3), BGR, uint8.
    """
    if inputs.ndim == 5:  # (N, C, T, H, W)
        inputs = inputs[0, :, 0]
    pixels: np.ndarray = inputs.permute(1, 2, 0).contiguous().numpy()
    return pixels.astype(np.uint8)


def arrange(tiles: list[np.ndarray]) -> np.ndarray:
    """Arrange pictures in rows of a sheet.

    Args:
        tiles: Pictures (height, width, 3), BGR, uint8.

    Returns:
        The sheet, with the background of a page.
    """
    shown = []
    for tile in tiles:
        factor = TILE / max(tile.shape[:2])
        # A row of frames keeps its size.
        is_wide = tile.shape[1] > 3 * tile.shape[0]
        if is_wide:
            factor = min(1, 2 * TILE / tile.shape[1])
        size = [max(1, round(side * factor)) for side in tile.shape[1::-1]]
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
        shown.append(cv2.resize(tile, size, interpolation=method))
    width = max(tile.shape[1] for tile in shown)
    columns = max(1, min(4, 4 * TILE // width))
    rows = [shown[i : i + columns] for i in range(0, len(shown), columns)]
    sheet = np.full(
        (
            GAP + sum(GAP + max(t.shape[0] for t in row) for row in rows),
            GAP + columns * (width + GAP),
            3,
        ),
        250,
        np.uint8,
    )
    top = GAP
    for row in rows:
        for column, tile in enumerate(row):
            left = GAP + column * (width + GAP)
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = (
                tile
            )
        top += GAP + max(tile.shape[0] for tile in row)
    return sheet
