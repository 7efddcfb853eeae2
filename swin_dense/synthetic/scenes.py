"""Scenes of overlapping shapes, drawn into a folder one image at a time.

A data set that everyone has: it is drawn, not downloaded. Every image shows
textured, shaded shapes that hide one another over a textured, noisy
background; some images are empty. Each image has its own random state, made
of the seed, the name of its split and its index, so that image 7 is the same
whether 10 or 10 000 images are asked for.

H and W are the height and width of an image in pixels; K counts its shapes.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.synthetic.drawing import SHAPES, draw_image
from swin_dense.synthetic.textures import TEXTURES, draw_ground

# Raised when the same parameters would draw other pixels.
VERSION = 1


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
    """All that decides what the images of a split look like.

    Args:
        num_images: How many.
        image_size: Height and width in pixels, or one number for both.
        classes: Names of shapes, keys of `SHAPES`, in the order of the
            labels.
        num_shapes: Fewest and most shapes in an image that is not empty.
        radius: Smallest and largest circumradius in pixels.
        empty: Share of images without any shape.
        textures: Names of textures, keys of `TEXTURES`, that backgrounds are
            made of in regions, in the order of the classes of stuff. Without
            any, backgrounds are clouds and no class.
        hues: Whether the shapes of a class have a range of hues of their
            own, which backgrounds may have as well. Otherwise nothing but
            its outline tells the class of a shape.
        image_format: 'jpg' or 'png'.
        seed: Everything random follows from it.

    Returns:
        The parameters as JSON keeps them, so that they can be compared with
        those of an earlier run.

    Raises:
        ValueError: A parameter is impossible.
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
    """Raise a ValueError that names the first parameter that cannot be."""
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
                'largest), both above 0'
            )
    if parameters['num_images'] < 1 or min(parameters['image_size']) < 8:
        raise ValueError(
            f'num_images={parameters["num_images"]}, image_size='
            f'{parameters["image_size"]}: at least 1 image of 8x8 pixels'
        )
    if parameters['image_format'] not in ('jpg', 'png'):
        raise ValueError(
            f'image_format={parameters["image_format"]!r} must '
            "be 'jpg' or 'png'"
        )


def item_rng(split: str, index: int, seed: int) -> np.random.Generator:
    """Random state of an image or clip."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), index])


def draw_scenes(
    folder: Path, split: str, parameters: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Write the images of a split into `folder`.

    Yields:
        Name, masks `(K, H, W)` and labels `(K,)` of each, once it is written,
        and the texture of its background at each pixel `(H, W)`, an index
        into `textures`, or None where there are none.
    """
    size = tuple(parameters['image_size'])
    textures = parameters.get('textures')
    for index in range(parameters['num_images']):
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
        yield name, masks, labels, ground


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image, or raise an OSError."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == '.jpg' else []
    if not cv2.imwrite(str(path), image, quality):
        raise OSError(
            f'OpenCV could not write {path}: is the disk full, or '
            'the image format unknown to it?'
        )


def write_manifest(
    path: Path, parameters: dict[str, Any], **content: Any
) -> None:
    """Write a JSON file that tells, among its content, what was drawn."""
    info = dict(
        description='Shapes drawn by swin_dense', parameters=parameters
    )
    with open(path, 'w') as file:
        json.dump(dict(info=info, **content), file)
