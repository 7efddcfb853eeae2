"""Images of overlapping shapes with exact instance masks, in COCO format.

A data set that everyone has: it is drawn, not downloaded. Every image shows
textured, shaded shapes that hide one another over a textured, noisy
background; some images are empty. Each image has its own random state, made
of the seed, the name of its split and its index, so that image 7 is the same
whether 10 or 10 000 images are asked for.

H and W are the height and width of an image in pixels; K counts the shapes
of one image, in drawing order.
"""
import json
import math
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import cv2
import numpy as np

__all__ = ['SHAPES', 'draw_image', 'encode_mask', 'generate_coco']

# Raised when the same parameters would draw other pixels.
VERSION = 1
MANIFEST = 'instances.json'
# A shape that would leave less than this share of another one visible is
# placed again, so that no pixel of a shape goes without its annotation.
MIN_VISIBLE = 0.15
SUBPIXEL_BITS = 4


def _regular(corners: int, inner: float = 1.) -> np.ndarray:
    """Corners of a polygon in the unit circle, odd ones at radius `inner`."""
    angle = 2 * np.pi * np.arange(corners) / corners
    radius = np.where(np.arange(corners) % 2, inner, 1.)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


SHAPES: Dict[str, np.ndarray] = {
    'circle': _regular(72),
    'square': _regular(4),
    'triangle': _regular(3),
    'pentagon': _regular(5),
    'hexagon': _regular(6),
    'star': _regular(10, inner=.45),
}
"""Corners `(n, 2)` of each class in the unit circle."""


def _turned(angle: float) -> np.ndarray:
    """Matrix `(2, 2)` that turns row vectors by `angle` in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]], np.float32)


def _smooth_field(rng: np.random.Generator, size: Tuple[int, int],
                  cell: float) -> np.ndarray:
    """Smooth random field `(H, W, 3)` of about unit variance; `cell` is the
    size of its blobs in pixels."""
    height, width = size
    grid = rng.standard_normal(
        (math.ceil(height / cell) + 1, math.ceil(width / cell) + 1, 3),
        np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def _background(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Coloured clouds at two scales, `(H, W, 3)` in 0…255."""
    colour = rng.uniform(0, 255, 3).astype(np.float32)
    coarse = _smooth_field(rng, size, max(size) / 3)
    fine = _smooth_field(rng, size, rng.uniform(4, 16))
    return colour + rng.uniform(10, 40) * coarse + rng.uniform(2, 12) * fine


def _surface(rng: np.random.Generator, mask: np.ndarray, centre: np.ndarray,
             radius: float) -> np.ndarray:
    """Colours `(n, 3)` of the n pixels of a shape: paint, pattern, and light
    that falls off across it."""
    y, x = np.nonzero(mask)
    place = np.stack([x + .5, y + .5], 1) - centre
    place = (place / radius).astype(np.float32)
    turn, light = rng.uniform(0, 2 * np.pi, 2)
    waves = np.sin(rng.uniform(3, 12) * (place @ _turned(turn)))
    pattern = rng.choice(['plain', 'stripes', 'checks'])
    if pattern == 'stripes':
        strength = waves[:, :1]
    elif pattern == 'checks':
        strength = np.sign(waves[:, :1] * waves[:, 1:])
    else:
        strength = np.zeros_like(waves[:, :1])
    shade = 1 + rng.uniform(.1, .4) * (place @ _turned(light))[:, :1]
    paint, second = rng.uniform(0, 255, 3), rng.uniform(-40, 40, 3)
    return (paint + strength * second) * shade


def _place(
        rng: np.random.Generator, size: Tuple[int, int], corners: np.ndarray,
        radius: Tuple[float, float]) -> Tuple[np.ndarray, np.ndarray, float]:
    """Mask `(H, W)` of one shape at a random place, its centre (x, y) and
    circumradius in pixels."""
    r = rng.uniform(*radius)
    centre = rng.uniform((0, 0), (size[1], size[0]))
    turn = rng.uniform(0, 2 * np.pi)
    # OpenCV puts integers at pixel centres; `centre` counts from the corner.
    points = centre - .5 + r * corners @ _turned(turn)
    mask = np.zeros(size, np.uint8)
    fixed = np.round(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 1, shift=SUBPIXEL_BITS)
    return mask.astype(bool), centre, r


def draw_image(
        rng: np.random.Generator,
        image_size: Tuple[int, int] = (256, 256),
        classes: Sequence[str] = ('circle', 'square', 'triangle'),
        num_shapes: Tuple[int, int] = (2, 5),
        radius: Tuple[float, float] = (15, 50),
        empty: float = .05) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image.

    Args:
        rng: Source of every choice.
        image_size: H and W.
        classes: Names of shapes, keys of `SHAPES`.
        num_shapes: Fewest and most shapes in an image that is not empty.
            Crowded images may get fewer, see `MIN_VISIBLE`.
        radius: Smallest and largest circumradius in pixels.
        empty: Share of images without any shape.

    Returns:
        The image `(H, W, 3)` in BGR, uint8; the masks `(K, H, W)` of what is
        visible of each shape, bool and disjoint; the labels `(K,)`, indices
        into `classes`.
    """
    canvas = _background(rng, image_size)
    wanted = rng.integers(num_shapes[0], num_shapes[1] + 1)
    if rng.random() < empty:
        wanted = 0
    visible: List[np.ndarray] = []
    whole: List[int] = []
    labels: List[int] = []
    for _ in range(wanted):
        label = int(rng.integers(len(classes)))
        for _ in range(20):
            mask, centre, r = _place(rng, image_size, SHAPES[classes[label]],
                                     radius)
            rest = [other & ~mask for other in visible]
            area = int(mask.sum())
            if area >= MIN_VISIBLE * r * r and all(
                    part.sum() >= MIN_VISIBLE * full
                    for part, full in zip(rest, whole)):
                break
        else:
            continue
        visible = rest + [mask]
        whole.append(area)
        labels.append(label)
        canvas[mask] = _surface(rng, mask, centre, r)
    # A lens and a sensor: edges a pixel soft, noise on every pixel.
    canvas = cv2.GaussianBlur(canvas, (3, 3), .6)
    noise = rng.standard_normal(canvas.shape, np.float32)
    canvas += np.float32(rng.uniform(4, 16)) * noise
    image = np.clip(np.round(canvas), 0, 255).astype(np.uint8)
    masks = np.array(visible, bool).reshape(-1, *image_size)
    return image, masks, np.array(labels, np.int64)


def encode_mask(mask: np.ndarray, rle: bool = False) -> Union[list, dict]:
    """Write a mask `(H, W)` as a COCO segmentation that decodes to itself.

    One part without holes becomes a polygon that runs along the edges of its
    pixels; anything else, or everything if `rle`, becomes compressed RLE.
    """
    from pycocotools import mask as mask_api
    code = mask_api.encode(np.asfortranarray(mask, np.uint8))
    if not rle:
        # In a picture three times as large, the first and the last third of
        # a border pixel tell which corner of it the contour passes.
        large = cv2.resize(
            mask.astype(np.uint8),
            None,
            fx=3,
            fy=3,
            interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(large, cv2.RETR_LIST,
                                       cv2.CHAIN_APPROX_SIMPLE)
        if len(contours) == 1:
            ring = (contours[0].reshape(-1, 2) + 1) // 3
            ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
            polygon = [ring.ravel().tolist()]
            drawn = mask_api.merge(mask_api.frPyObjects(polygon, *mask.shape))
            if drawn['counts'] == code['counts']:
                return polygon
    return {
        'size': [int(n) for n in code['size']],
        'counts': code['counts'].decode()
    }


def _annotation(mask: np.ndarray, label: int, rle: bool) -> Dict[str, Any]:
    """COCO annotation of one mask, without its ids."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return dict(
        category_id=label + 1,
        bbox=[x, y, w, h],
        area=int(mask.sum()),
        iscrowd=0,
        segmentation=encode_mask(mask, rle))


def _draw_split(folder: Path, split: str, parameters: Dict[str, Any]) -> None:
    """Write the images of a split and its JSON into `folder`."""
    images, annotations = [], []
    size = tuple(parameters['image_size'])
    for index in range(parameters['num_images']):
        rng = np.random.default_rng(
            [parameters['seed'],
             zlib.crc32(split.encode()), index])
        image, masks, labels = draw_image(rng, size, parameters['classes'],
                                          parameters['num_shapes'],
                                          parameters['radius'],
                                          parameters['empty'])
        name = f'{index + 1:012d}.{parameters["image_format"]}'
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        if not cv2.imwrite(str(folder / name), image, quality):
            raise OSError(f'OpenCV could not write {folder / name}: is the '
                          'disk full, or the image format unknown to it?')
        images.append(
            dict(id=index + 1, file_name=name, height=size[0], width=size[1]))
        for mask, label in zip(masks, labels):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index + 1,
                    **_annotation(mask, int(label), parameters['rle'])))
    categories = [
        dict(id=i + 1, name=name)
        for i, name in enumerate(parameters['classes'])
    ]
    with open(folder / MANIFEST, 'w') as file:
        json.dump(
            dict(
                info=dict(
                    description='Shapes drawn by swin_dense',
                    parameters=parameters),
                images=images,
                annotations=annotations,
                categories=categories), file)


def _check_parameters(parameters: Dict[str, Any]) -> None:
    """Raise a ValueError that names the first parameter that cannot be."""
    unknown = [name for name in parameters['classes'] if name not in SHAPES]
    if unknown or not parameters['classes']:
        raise ValueError(
            f'unknown shapes {unknown} in classes='
            f'{parameters["classes"]}: choose from {list(SHAPES)}')
    for key in ('num_shapes', 'radius'):
        low, high = parameters[key]
        if not 0 < low <= high:
            raise ValueError(f'{key}={parameters[key]} must be (smallest, '
                             'largest), both above 0')
    if parameters['num_images'] < 1 or min(parameters['image_size']) < 8:
        raise ValueError(
            f'num_images={parameters["num_images"]}, image_size='
            f'{parameters["image_size"]}: at least 1 image of 8×8 pixels')
    if parameters['image_format'] not in ('jpg', 'png'):
        raise ValueError(f'image_format={parameters["image_format"]!r} must '
                         "be 'jpg' or 'png'")


def _is_complete(folder: Path, parameters: Dict[str, Any]) -> bool:
    """Whether `folder` holds the split that `parameters` describe.

    Raises:
        ValueError: The folder holds something else.
    """
    if not folder.exists():
        return False
    try:
        with open(folder / MANIFEST) as file:
            found = json.load(file)['info']['parameters']
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f'{folder} exists and was not generated by swin_dense (no '
            f'parameters in {MANIFEST}): choose another data_root, or remove '
            'the folder') from None
    differing = sorted(key for key in {*found, *parameters}
                       if found.get(key) != parameters.get(key))
    if differing:
        given = ', '.join(f'{key}={parameters.get(key)}' for key in differing)
        there = ', '.join(f'{key}={found.get(key)}' for key in differing)
        raise ValueError(
            f'{folder} was generated with {there}; asked for is {given}. '
            'Choose another data_root, or remove the folder to draw it again')
    return True


def _publish(source: Path, target: Path, parameters: Dict[str, Any]) -> None:
    """Rename a finished folder into place, unless another process was first.
    """
    try:
        os.replace(source, target)
    except OSError:
        if not _is_complete(target, parameters):
            raise


def generate_coco(root: Union[str, Path],
                  splits: Mapping[str, int],
                  *,
                  image_size: Union[int, Sequence[int]] = 256,
                  classes: Sequence[str] = ('circle', 'square', 'triangle'),
                  num_shapes: Sequence[int] = (2, 5),
                  radius: Sequence[float] = (15, 50),
                  empty: float = .05,
                  rle: bool = False,
                  image_format: str = 'jpg',
                  seed: int = 0) -> Dict[str, Path]:
    """Draw a data set in COCO's layout, or reuse the one that is there.

    ```
    root/train2017/000000000001.jpg …
    root/annotations/instances_train2017.json
    ```

    A split is drawn in a temporary folder beside its place and renamed when
    it is complete: an interrupted run leaves nothing half done, and of two
    processes that draw at once one is kept.

    Args:
        root: Where the data set lives.
        splits: Number of images by name of the split, such as
            `{'train2017': 256, 'val2017': 64}`.
        image_size: Height and width in pixels, or one number for both.
        classes: Names of shapes, keys of `SHAPES`, in category order.
        num_shapes: Fewest and most shapes in an image that is not empty.
        radius: Smallest and largest circumradius in pixels.
        empty: Share of images without any shape.
        rle: Write every mask as RLE. Otherwise masks in one piece are
            polygons, and those that something cuts in parts are RLE.
        image_format: 'jpg' or 'png'.
        seed: Everything random follows from it.

    Returns:
        The annotation file of each split.

    Raises:
        ValueError: A parameter is impossible, or the folder of a split holds
            data made with other parameters.
    """
    if isinstance(image_size, int):
        image_size = (image_size, image_size)
    root = Path(root)
    files = {}
    for split, num_images in splits.items():
        parameters = dict(
            version=VERSION,
            num_images=num_images,
            image_size=list(image_size),
            classes=list(classes),
            num_shapes=list(num_shapes),
            radius=list(radius),
            empty=empty,
            rle=rle,
            image_format=image_format,
            seed=seed)
        _check_parameters(parameters)
        folder = root / split
        if not _is_complete(folder, parameters):
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                    dir=root, prefix=f'.{split}.') as temporary:
                drawn = Path(temporary) / split
                drawn.mkdir()
                _draw_split(drawn, split, parameters)
                _publish(drawn, folder, parameters)
        files[split] = root / 'annotations' / f'instances_{split}.json'
        _copy(folder / MANIFEST, files[split])
    return files


def _copy(source: Path, target: Path) -> None:
    """Copy a file atomically, unless the same bytes are there."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix='.tmp')
    os.close(handle)
    shutil.copyfile(source, temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)
