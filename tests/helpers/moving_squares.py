"""Write clips of two classes: a square moves to the right or to the left."""

from pathlib import Path

import numpy as np

from swin_dense.data.video_writer import write_video

CLASSES = ('right', 'left')


def moving_square(
    label: int, frames: int = 20, size: tuple = (48, 64), seed: int = 0
) -> np.ndarray:
    """Return frames `(T, H, W, 3)` of a bright square on noise."""
    rng = np.random.default_rng(seed)
    clip = rng.integers(0, 60, (frames, *size, 3), np.uint8)
    for index, frame in enumerate(clip):
        x = round(index * (size[1] - 12) / max(1, frames - 1))
        x = size[1] - 12 - x if label else x
        frame[16:28, x : x + 12] = 255
    return clip


def write_videos(root: Path, count: int = 4, frames: int = 20) -> Path:
    """Write clips and their lists `train.txt` and `val.txt`."""
    root.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        label = number % 2
        name = f'{number}.mp4'
        write_video(
            root / name, moving_square(label, frames, seed=number), 25.0
        )
        lines.append(f'{name} {label}\n')
    for split in ('train', 'val'):
        (root / f'{split}.txt').write_text(''.join(lines))
    return root
