"""Draw the pictures of the documentation: `python docs/pictures.py`.

They show generated images, so nobody else has rights in them, and are drawn by
the functions that `swin-dense predict` and `swin-dense demo` use.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from swin_dense.synthetic.drawing import draw_image
from swin_dense.synthetic.motions import draw_motion
from swin_dense.synthetic.scenes import item_rng
from swin_dense.synthetic.textures import TEXTURES, draw_ground
from swin_dense.visualization import draw_instances, draw_labels

FOLDER = Path(__file__).resolve().parent / 'assets'
SHAPES = ('circle', 'square', 'triangle', 'star')
SIDE = 440


def scene(index: int) -> tuple[np.ndarray, SimpleNamespace, np.ndarray]:
    """Draw a scene of shapes before textures.

    Returns:
        The image (H, W, 3), BGR, uint8; its instances, as `draw_instances`
        takes them; its label map (H, W), shapes first, then textures.
    """
    rng = item_rng('pictures', index, 0)
    size = (SIDE, SIDE)
    ground, textures = draw_ground(rng, size, list(TEXTURES))
    image, masks, labels = draw_image(
        rng, size, SHAPES, (5, 7), (40, 85), 0, ground
    )
    label_map = textures.astype(int) + len(SHAPES)
    boxes = []
    for mask, label in zip(masks, labels):
        label_map[mask] = label
        ys, xs = np.nonzero(mask)
        boxes.append((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    return (
        image,
        SimpleNamespace(bboxes=np.array(boxes), labels=labels, masks=masks),
        label_map,
    )


def write(name: str, pixels: np.ndarray) -> None:
    """Write a picture (H, W, 3), BGR, as a small WebP file."""
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(
        FOLDER / f'{name}.webp', quality=82, method=6
    )


def main() -> None:
    """Draw all pictures into `docs/assets`."""
    FOLDER.mkdir(exist_ok=True)
    image, instances, _ = scene(4)
    boxes = draw_instances(image, instances, SHAPES)
    image, _, label_map = scene(3)
    regions = draw_labels(image, label_map, [*SHAPES, *TEXTURES], legend=False)
    clip = draw_motion(item_rng('pictures', 4, 0), 'right', 32, SIDE // 2)
    frames = [frame[..., ::-1] for frame in clip]
    rows = [np.hstack(frames[start::9][:2]) for start in (0, 18)]
    motion = np.vstack(rows)
    write('instances', boxes)
    write('labels', regions)
    write('motion', motion)
    gap = np.full((SIDE, 12, 3), 255, np.uint8)
    write('tasks', np.hstack([boxes, gap, regions, gap, motion]))


if __name__ == '__main__':
    main()
