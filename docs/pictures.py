"""Draw the pictures of the documentation.

    swin-dense demo
    python docs/pictures.py CONFIG CHECKPOINT  # those that the demo names

They show generated images, so nobody else has rights in them. Instances and
tracks are what the demo's detector finds; label maps and clips are the truth,
drawn by the functions that `swin-dense predict` uses.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import swin_dense
from swin_dense.detection.object_tracks import ObjectTracker
from swin_dense.synthetic.drawing import draw_image
from swin_dense.synthetic.motions import draw_motion
from swin_dense.synthetic.scenes import item_rng
from swin_dense.synthetic.textures import TEXTURES, draw_ground
from swin_dense.visualization import draw_labels

FOLDER = Path(__file__).resolve().parent / 'assets'
SHAPES = ('circle', 'square', 'triangle')
REGIONS = (*SHAPES, 'star', *TEXTURES)
SIDE = 440
SCORE_THR = 0.6


def find_instances(model: Any) -> np.ndarray:
    """Return a picture (SIDE, SIDE, 3), BGR, of what a detector finds."""
    rng = item_rng('front', 35, 0)
    image, _, _ = draw_image(rng, (256, 256), SHAPES, (4, 5), (22, 48), 0)
    size = (SIDE, SIDE)
    large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return model(large).picture(score_thr=SCORE_THR)


def find_tracks(model: Any) -> np.ndarray:
    """Return three frames, BGR, of a camera that moves over shapes."""
    rng = item_rng('pan', 1, 0)
    size = (SIDE // 2, 900)
    wide, _, _ = draw_image(rng, size, SHAPES, (8, 10), (24, 48), 0)
    tracker = ObjectTracker(fps=10, score_thr=SCORE_THR)
    pictures = []
    for start in range(0, 350, 9):
        frame = np.ascontiguousarray(wide[:, start : start + SIDE])
        result = tracker.update(model(frame))
        pictures.append(result.picture(score_thr=SCORE_THR))
    return np.vstack(pictures[14::12])


def draw_regions() -> np.ndarray:
    """Return a picture (SIDE, SIDE, 3), BGR, of the label of each pixel."""
    rng = item_rng('pictures', 3, 0)
    size = (SIDE, SIDE)
    ground, textures = draw_ground(rng, size, list(TEXTURES))
    image, masks, labels = draw_image(
        rng, size, REGIONS[:4], (5, 7), (40, 85), 0, ground
    )
    label_map = textures.astype(int) + 4
    for mask, label in zip(masks, labels):
        label_map[mask] = label
    return draw_labels(image, label_map, REGIONS, legend=False)


def write(name: str, pixels: np.ndarray) -> None:
    """Write a picture (H, W, 3), BGR, as a small WebP file."""
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(
        FOLDER / f'{name}.webp', quality=82, method=6
    )


def main() -> None:
    """Draw all pictures into `docs/assets`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the detector, or its name')
    parser.add_argument('checkpoint', help='its weights')
    args = parser.parse_args()
    model = swin_dense.load(args.config, args.checkpoint, device='cpu')
    FOLDER.mkdir(exist_ok=True)
    boxes, regions = find_instances(model), draw_regions()
    clip = draw_motion(item_rng('pictures', 4, 0), 'right', 32, SIDE // 2)
    frames = [frame[..., ::-1] for frame in clip]
    rows = [np.hstack(frames[start::9][:2]) for start in (0, 18)]
    motion = np.vstack(rows)
    write('instances', boxes)
    write('tracks', find_tracks(model))
    write('labels', regions)
    write('motion', motion)
    gap = np.full((SIDE, 12, 3), 255, np.uint8)
    write('tasks', np.hstack([boxes, gap, regions, gap, motion]))


if __name__ == '__main__':
    main()
