"""Write a large COCO data set of generated shapes, to time its checks.

    python tests/helpers/large_coco.py data/large --annotations 100000

writes annotations, and images of 320 x 240 pixels, in the layout of COCO 2017
with 80 classes. The validation set has a third of the annotations.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT, CLASSES = 320, 240, 80
OBJECTS = 7  # in an image, on average, as in COCO


def polygon(
    rng: np.random.Generator, corners: int, x: float, y: float, size: float
) -> np.ndarray:
    """Return a convex polygon (N, 2) inside of the image, in pixels."""
    angles = np.sort(rng.random(corners) + np.arange(corners))
    angles *= 2 * np.pi / corners
    ring = np.stack([np.cos(angles), np.sin(angles)], 1) * size / 2
    return np.clip(ring + (x, y), 0, (WIDTH - 1, HEIGHT - 1)).round(1)


def write_split(root: Path, split: str, count: int, seed: int) -> Path:
    """Write the images and the annotation file of a split; return the file."""
    rng = np.random.default_rng(seed)
    folder = root / f'{split}2017'
    folder.mkdir(parents=True)
    colours = np.random.default_rng(0).integers(0, 256, (CLASSES, 3))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    while len(annotations) < count:
        number = len(images) + 1
        pixels = np.full((HEIGHT, WIDTH, 3), rng.integers(0, 256, 3), np.uint8)
        wanted = min(int(rng.poisson(OBJECTS)), count - len(annotations))
        for _ in range(wanted):
            label = int(rng.integers(CLASSES))
            size = float(rng.uniform(24, 110))
            centre = rng.uniform((20, 20), (WIDTH - 20, HEIGHT - 20))
            ring = polygon(rng, int(rng.integers(4, 12)), *centre, size)
            colour = colours[label].tolist()
            cv2.fillPoly(pixels, [ring.round().astype(np.int32)], colour)
            low, high = ring.min(0), ring.max(0)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=label + 1,
                    bbox=[*low.tolist(), *(high - low).tolist()],
                    area=float(cv2.contourArea(ring.astype(np.float32))),
                    iscrowd=0,
                    segmentation=[ring.ravel().tolist()],
                )
            )
        name = f'{number:012d}.jpg'
        cv2.imwrite(str(folder / name), pixels)
        images.append(
            dict(id=number, file_name=name, width=WIDTH, height=HEIGHT)
        )
    path = root / 'annotations' / f'instances_{split}2017.json'
    path.parent.mkdir(exist_ok=True)
    categories = [dict(id=i + 1, name=f'class {i}') for i in range(CLASSES)]
    path.write_text(
        json.dumps(
            dict(images=images, annotations=annotations, categories=categories)
        )
    )
    return path


def main() -> None:
    """Write both splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path)
    parser.add_argument('--annotations', type=int, default=100_000)
    args = parser.parse_args()
    for seed, (split, share) in enumerate((('train', 1), ('val', 3))):
        print(write_split(args.root, split, args.annotations // share, seed))


if __name__ == '__main__':
    main()
