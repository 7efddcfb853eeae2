"""Clips of one textured shape that moves; the class is the motion.

A data set that everyone has: it is drawn, not downloaded. Shape, texture,
background, place, size and speed are drawn at random for all classes alike,
the shape always lighter than its background. Of two opposite motions one is
the other played backwards, so no frame by itself tells which it is.

Each clip has its own random state, made of the seed, the name of its split
and its index, so that clip 7 is the same whether 10 or 10 000 are asked for.

T, H and W are the frames of a clip, and their height and width in pixels.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.data.video_writer import write_video
from swin_dense.synthetic.drawing import SHAPES, background, smooth_field
from swin_dense.synthetic.generate_once import generate_once
from swin_dense.synthetic.scenes import item_rng, write_manifest

# Raised when the same parameters would draw other pixels.
VERSION = 1
MANIFEST = 'motions.json'
LIST = 'list.txt'
# What a motion changes, and in which direction.
MOTIONS: dict[str, tuple[str, int]] = {
    'left': ('x', -1),
    'right': ('x', 1),
    'up': ('y', -1),
    'down': ('y', 1),
    'grow': ('size', 1),
    'shrink': ('size', -1),
    'clockwise': ('angle', 1),
    'counterclockwise': ('angle', -1),
}
"""The classes, in the order of their labels."""
# A circle does not show that it turns as well as the others.
TURNING = [name for name in SHAPES if name != 'circle']
# Least and most over a whole clip: shares of the side, the logarithm of a
# factor, radians.
EXTENT = dict(x=(0.45, 0.7), y=(0.45, 0.7), size=(0.7, 1.1), angle=(2.0, 4.0))


def _sprite(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours `(64, 64, 3)` of a shape of radius 28, and its mask."""
    colours = rng.uniform(150, 250, 3) + rng.uniform(15, 30) * smooth_field(
        rng, (64, 64), rng.uniform(6, 12)
    )
    corners = 31.5 + 28 * SHAPES[str(rng.choice(TURNING))]
    mask = np.zeros((64, 64), np.float32)
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
    return colours.astype(np.float32), mask


def draw_motion(
    rng: np.random.Generator,
    motion: str,
    num_frames: int = 32,
    image_size: int = 96,
) -> Iterator[np.ndarray]:
    """Draw the frames of one clip.

    Args:
        rng: Source of every choice.
        motion: A key of `MOTIONS`.
        num_frames: T.
        image_size: H and W.

    Yields:
        Frames `(H, W, 3)` in RGB, uint8.
    """
    what, direction = MOTIONS[motion]
    side = (image_size, image_size)
    scene = background(rng, side)
    # Darker than any shape, so that few clips teach what to follow.
    scene = rng.uniform(30, 80) + 0.4 * (scene - scene.mean())
    colours, mask = _sprite(rng)
    middle = dict(
        x=rng.uniform(0.4, 0.6) * image_size,
        y=rng.uniform(0.4, 0.6) * image_size,
        size=np.log(rng.uniform(0.2, 0.32) * image_size / 28),
        angle=rng.uniform(0, 2 * np.pi),
    )
    extent = direction * rng.uniform(*EXTENT[what])
    if what in 'xy':
        extent *= image_size
    noise = rng.uniform(2, 6)
    for phase in np.linspace(-0.5, 0.5, num_frames):
        now = {**middle, what: middle[what] + extent * phase}
        size = np.exp(now['size'])
        # Rows point down, so a growing angle turns clockwise.
        cos, sin = size * np.cos(now['angle']), size * np.sin(now['angle'])
        place = np.array(
            [
                [cos, -sin, now['x'] - 31.5 * (cos - sin)],
                [sin, cos, now['y'] - 31.5 * (sin + cos)],
            ]
        )
        cover = cv2.warpAffine(mask, place, side)[..., None]
        paint = cv2.warpAffine(
            colours, place, side, borderMode=cv2.BORDER_REPLICATE
        )
        frame = scene + cover * (paint - scene)
        frame += noise * rng.standard_normal(frame.shape, np.float32)
        yield np.clip(np.round(frame), 0, 255).astype(np.uint8)


def motion_parameters(
    num_clips: int,
    *,
    image_size: int = 96,
    num_frames: int = 32,
    fps: float = 16.0,
    classes: Sequence[str] = tuple(MOTIONS),
    seed: int = 0,
) -> dict[str, Any]:
    """All that decides what the clips of a split look like.

    Args:
        num_clips: How many; the classes take turns.
        image_size: Height and width in pixels.
        num_frames: Frames of a clip.
        fps: Frames per second.
        classes: Keys of `MOTIONS`, in the order of the labels.
        seed: Everything random follows from it.

    Returns:
        The parameters as JSON keeps them, so that they can be compared with
        those of an earlier run.

    Raises:
        ValueError: A parameter is impossible.
    """
    unknown = [name for name in classes if name not in MOTIONS]
    if unknown or not classes:
        raise ValueError(
            f'unknown motions {unknown} in classes='
            f'{list(classes)}: choose from {list(MOTIONS)}'
        )
    if image_size < 16 or image_size % 2 or num_frames < 2 or fps <= 0:
        raise ValueError(
            f'image_size={image_size}, num_frames={num_frames}, fps={fps}: '
            'an even size of at least 16 pixels, at least 2 frames, and a '
            'rate above 0'
        )
    if num_clips < 1:
        raise ValueError(f'num_clips={num_clips} must be at least 1')
    return dict(
        version=VERSION,
        num_clips=num_clips,
        image_size=image_size,
        num_frames=num_frames,
        fps=fps,
        classes=list(classes),
        seed=seed,
    )


def _draw(split: str, parameters: dict[str, Any], folder: Path) -> None:
    """Write the clips of a split and their list."""
    lines = []
    for index in range(parameters['num_clips']):
        label = index % len(parameters['classes'])
        frames = draw_motion(
            item_rng(split, index, parameters['seed']),
            parameters['classes'][label],
            parameters['num_frames'],
            parameters['image_size'],
        )
        name = f'{index + 1:08d}.mp4'
        write_video(folder / name, frames, parameters['fps'])
        lines.append(f'{name} {label}\n')
    (folder / LIST).write_text(''.join(lines))
    write_manifest(folder / MANIFEST, parameters)


def generate_motions(
    root: str | Path, splits: Mapping[str, int], **parameters: Any
) -> None:
    """Draw a data set in Kinetics' list format, or reuse what is there.

    ```
    root/train/00000001.mp4 ...
    root/train/list.txt
    ```

    An interrupted run leaves nothing half done, and of two processes that
    draw at once one is kept; see `generate_once`.

    Args:
        root: Where the data set lives.
        splits: Number of clips by name of the split, such as
            `{'train': 800, 'val': 200}`.
        parameters: Arguments of `motion_parameters`, such as `image_size`.

    Raises:
        ValueError: A parameter is impossible, or the folder of a split holds
            data made with other parameters.
    """
    for split, num_clips in splits.items():
        wanted = motion_parameters(num_clips, **parameters)
        generate_once(
            Path(root),
            [split],
            MANIFEST,
            wanted,
            partial(_draw, split, wanted),
            made=f'{num_clips} clips',
        )
