"""Images of overlapping shapes with exact instance masks, in COCO format.

A data set that everyone has: it is drawn, not downloaded. Every image shows
textured, shaded shapes that hide one another over a textured, noisy
background; some images are empty. Each image has its own random state, made
of the seed, the name of its split and its index, so that image 7 is the same
whether 10 or 10 000 images are asked for.

H and W are the height and width of an image in pixels.
"""
import json
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence, Union

import cv2
import numpy as np

from swin_dense.datasets.drawing import SHAPES, draw_image

__all__ = ['encode_mask', 'generate_coco']

# Raised when the same parameters would draw other pixels.
VERSION = 1
MANIFEST = 'instances.json'


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
