"""Draw scenes of overlapping shapes into a folder, image by image.

The data set is drawn, so no download is needed. An image shows textured,
shaded shapes that partly hide each other over a textured, noisy background;
some images are empty. Each image has its own random generator, seeded with
the seed, the name of the split and the index of the image. Image 7 is
therefore the same in a data set of 10 images and in one of 10 000.

H and W are the height and width of an image in pixels, K is the number of its
shapes.
"""

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.synthetic.drawing import SHAPES, draw_image
from swin_dense.synthetic.textures import TEXTURES, draw_ground

# Increment when a change of the code alters the pixels drawn for the same
# parameters.
VERSION = 1
# Images that are drawn ahead of the one in use; all of them are kept.
AHEAD = 64


def scene_parameters(
    num_images: int,
    *,
    image_size: int | Sequence[int] = 256,
    classes: Sequence[str] = ('circle', 'square', 'triangle'),
    num_shapes: Sequence[int] = (2, 5),
    radius: Sequence[float] = (15, 50),
    empty: float = 0.05,
    textures: Sequence[str] = (),
    hues: bool = False,
    image_format: str = 'jpg',
    seed: int = 0,
) -> dict[str, Any]:
    """Return all parameters of the images of a split.

    Args:
        num_images: Number of images.
        image_size: Height and width in pixels, or one number for both.
        classes: Names of shapes, keys of `SHAPES`, in label order.
        num_shapes: Fewest and most shapes in an image that is not empty.
        radius: Smallest and largest circumradius in pixels.
        empty: Share of images without any shape.
        textures: Names of textures, keys of `TEXTURES`. A background then has
            regions of these textures, which are the stuff classes in this
            order. By default backgrounds are clouds, which are no class.
        hues: If True, each class of shapes has its own range of hues, and
            backgrounds may have the same hues. Otherwise only the outline
            shows the class of a shape.
        image_format: 'jpg' or 'png'.
        seed: Seed of all random numbers.

    Returns:
        The parameters in types of JSON, to be compared with those in the
        manifest of an earlier run.

    Raises:
        ValueError: If a parameter is out of range.
    """
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    parameters = dict(
        version=VERSION,
        num_images=num_images,
        image_size=list(image_size),
        classes=list(classes),
        num_shapes=list(num_shapes),
        radius=list(radius),
        empty=empty,
        image_format=image_format,
        seed=seed,
    )
    if textures:
        parameters['textures'] = list(textures)
    if hues:
        parameters['hues'] = True
    _check_parameters(parameters)
    return parameters


def _check_parameters(parameters: dict[str, Any]) -> None:
    """Raise a ValueError for the first parameter that is out of range."""
    unknown = [name for name in parameters['classes'] if name not in SHAPES]
    if unknown or not parameters['classes']:
        raise ValueError(
            f'unknown shapes {unknown} in classes='
            f'{parameters["classes"]}: choose from {list(SHAPES)}'
        )
    unknown = [n for n in parameters.get('textures', ()) if n not in TEXTURES]
    if unknown:
        raise ValueError(
            f'unknown textures {unknown}: choose from {list(TEXTURES)}'
        )
    for key in ('num_shapes', 'radius'):
        low, high = parameters[key]
        if not 0 < low <= high:
            raise ValueError(
                f'{key}={parameters[key]} must be (smallest, '
                'largest) with 0 < smallest <= largest'
            )
    if parameters['num_images'] < 1 or min(parameters['image_size']) < 8:
        raise ValueError(
            f'num_images={parameters["num_images"]}, image_size='
            f'{parameters["image_size"]}: expected at least 1 image of at '
            'least 8x8 pixels'
        )
    if parameters['image_format'] not in ('jpg', 'png'):
        raise ValueError(
            f'image_format={parameters["image_format"]!r} must '
            "be 'jpg' or 'png'"
        )


def item_rng(split: str, index: int, seed: int) -> np.random.Generator:
    """Return the random generator of an image or clip.

    Args:
        split: Name of the split.
        index: Index of the image or clip in the split.
        seed: Seed of the data set.
    """
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])


def draw_scenes(
    folder: Path, split: str, parameters: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Write the images of a split into a folder.

    Args:
        folder: An existing folder.
        split: Name of the split.
        parameters: The result of `scene_parameters`.

    Yields:
        For each image, after it is written: its file name, the masks
        `(K, H, W)` and labels `(K,)` of its shapes, and the texture of its
        background at each pixel `(H, W)`, an index into `textures`, or None
        if there are no textures.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        draw = partial(_draw_scene, folder, split, parameters)
        count = parameters['num_images']
        for start in range(0, count, AHEAD):
            part = range(start, min(start + AHEAD, count))
            yield from pool.map(draw, part)


def _draw_scene(
    folder: Path, split: str, parameters: dict[str, Any], index: int
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray | None]:
    """Write an image of a split; return what `draw_scenes` yields for it."""
    size = tuple(parameters['image_size'])
    textures = parameters.get('textures')
    rng = item_rng(split, index, parameters['seed'])
    picture, ground = (
        draw_ground(rng, size, textures) if textures else (None, None)
    )
    image, masks, labels = draw_image(
        rng,
        size,
        parameters['classes'],
        parameters['num_shapes'],
        parameters['radius'],
        parameters['empty'],
        picture,
        parameters.get('hues', False),
    )
    name = f'{index + 1:012d}.{parameters["image_format"]}'
    write_image(folder / name, image)
    return name, masks, labels, ground


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image; the suffix of the path decides the format.

    Raises:
        OSError: If OpenCV cannot write it.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == '.jpg' else []
    if not cv2.imwrite(str(path), image, quality):
        raise OSError(
            f'OpenCV could not write {path}: is the disk full, or '
            'the image format unknown to it?'
        )


def write_manifest(
    path: Path,
    parameters: dict[str, Any],
    description: str = 'Shapes drawn by swin_dense',
    **content: Any,
) -> None:
    """Write a JSON file with the parameters of generated data.

    Args:
        path: The file.
        parameters: Stored under `info.parameters`; see `generate_once`.
        description: Stored under `info.description`.
        content: Other entries of the JSON object.
    """
    info = dict(description=description, parameters=parameters)
    with open(path, 'w') as file:
        # `dump` would encode each number by itself, ten times slower.
        file.write(json.dumps(dict(info=info, **content)))
