"""Generate clips of one textured, moving shape; the class is the motion.

The data set is drawn, so no download is needed. Shape, texture, background,
place, size and speed are random and do not depend on the class; the shape is
always lighter than its background. Opposite motions are each other's clips
played backwards, so a single frame does not show the class.

Each clip has its own random generator, seeded with the seed, the name of the
split and the index of the clip. Clip 7 is therefore the same in a data set of
10 clips and in one of 10 000.

T is the number of frames of a clip, H and W are their height and width in
pixels.
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

# Increment when a change of the code alters the pixels drawn for the same
# parameters.
VERSION = 1
MANIFEST = 'motions.json'
LIST = 'list.txt'
# The quantity that each motion changes, and the direction of the change.
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
# The rotation of a circle shows in its texture only.
TURNING = [name for name in SHAPES if name != 'circle']
# Smallest and largest change over a whole clip: x and y in shares of the
# side, size as the logarithm of a factor, angle in radians.
EXTENT = dict(x=(0.45, 0.7), y=(0.45, 0.7), size=(0.7, 1.1), angle=(2.0, 4.0))


def _sprite(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a shape with a radius of 28 pixels.

    Returns:
        Its colours `(64, 64, 3)` and its mask `(64, 64)`, both float32.
    """
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
        rng: Random generator.
        motion: A key of `MOTIONS`.
        num_frames: Number of frames T.
        image_size: H and W.

    Yields:
        Frames `(H, W, 3)` in RGB, uint8.
    """
    what, direction = MOTIONS[motion]
    side = (image_size, image_size)
    scene = background(rng, side)
    # Darker than any shape: a model then learns from few clips.
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
        # The y axis points down, so a growing angle turns clockwise.
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
    """Return all parameters of the clips of a split.

    Args:
        num_clips: Number of clips; label i % C belongs to clip i, for C
            classes.
        image_size: Height and width in pixels.
        num_frames: Number of frames of a clip.
        fps: Frames per second.
        classes: Keys of `MOTIONS`, in label order.
        seed: Seed of all random numbers.

    Returns:
        The parameters in types of JSON, to be compared with those in the
        manifest of an earlier run.

    Raises:
        ValueError: If a parameter is out of range.
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
            'expected an even size of at least 16 pixels, at least 2 frames, '
            'and a rate above 0'
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
    """Write the clips of a split, their list and the manifest."""
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
    write_manifest(
        folder / MANIFEST,
        parameters,
        description='Clips of moving shapes drawn by swin_dense',
    )


def generate_motions(
    root: str | Path, splits: Mapping[str, int], **parameters: Any
) -> None:
    """Generate a data set in the list format of Kinetics, or reuse it.

    ```
    root/train/00000001.mp4 ...
    root/train/list.txt
    ```

    A split is complete or absent, also after an interruption; see
    `generate_once`.

    Args:
        root: Folder of the data set.
        splits: Number of clips by name of the split, such as
            `{'train': 800, 'val': 200}`.
        parameters: Arguments of `motion_parameters`, such as `image_size`.

    Raises:
        ValueError: If a parameter is out of range, or the folder of a split
            was generated with other parameters.
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
