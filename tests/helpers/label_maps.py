"""Write pairs of small images and label maps, which tests damage."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 24, 16
CLASSES = ['background', 'road', 'car']


def label_map(*values: int) -> np.ndarray:
    """Return a label map `(HEIGHT, WIDTH)` with a stripe of each value."""
    stripes = np.array_split(np.arange(WIDTH), len(values))
    row = np.concatenate([np.full(len(s), v) for s, v in zip(stripes, values)])
    return np.broadcast_to(row, (HEIGHT, WIDTH)).astype(np.uint8)


def write_pair(
    root: Path,
    name: str,
    labels: np.ndarray | None = None,
    split: str = 'training',
    size: Any = (HEIGHT, WIDTH),
) -> Path:
    """Write an image and its label map; return the label map's path."""
    image = root / 'images' / split / f'{name}.jpg'
    target = root / 'annotations' / split / f'{name}.png'
    for path in (image, target):
        path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(image)
    Image.fromarray(label_map(0, 1, 2) if labels is None else labels).save(
        target
    )
    return target


def dataset_config(root: Path, split: str = 'training', **changes) -> dict:
    """Return arguments of a CheckedSegDataset for files of `write_pair`."""
    return {
        'data_root': str(root),
        'data_prefix': dict(
            img_path=f'images/{split}', seg_map_path=f'annotations/{split}'
        ),
        'metainfo': dict(classes=CLASSES),
        'pipeline': [],
        **changes,
    }


def image_of(path):
    """Return the image of a label map of `write_pair`."""
    return str(path).replace('annotations', 'images').replace('.png', '.jpg')
