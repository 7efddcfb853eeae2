"""Generate images of shapes with exact masks, in COCO's or ADE20K's layout.

`swin_dense.synthetic.scenes` describes the images.

H and W are the height and width of an image in pixels.
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from swin_dense.files import replacing
from swin_dense.synthetic.generate_once import generate_once
from swin_dense.synthetic.scenes import (
    draw_scenes,
    scene_parameters,
    write_image,
    write_manifest,
)

COCO_MANIFEST = 'instances.json'
ADE_MANIFEST = 'shapes.json'
BACKGROUND = 'background'


def encode_mask(mask: np.ndarray, rle: bool = False) -> list | dict:
    """Encode a mask as a COCO segmentation that decodes to the same mask.

    Args:
        mask: The mask `(H, W)`.
        rle: If True, encode every mask as RLE. Otherwise a mask in one part
            without holes becomes a polygon along the edges of its pixels.

    Returns:
        The polygon as a list of one ring `[x, y, x, y, ...]` in pixels, or a
        compressed RLE with `size` [H, W] and `counts`.
    """
    from pycocotools import mask as mask_api

    pixels = mask.astype(np.uint8)
    code = mask_api.encode(np.asfortranarray(pixels))
    x, y, w, h = cv2.boundingRect(pixels)
    if w and not rle:
        # OpenCV's contours run through pixel centres. At three times the size
        # the contour of a border pixel runs through its outer third, so that
        # rounding (coordinate + 1) / 3 gives the corner of the pixel.
        large = cv2.resize(
            pixels[y : y + h, x : x + w],
            None,
            fx=3,
            fy=3,
            interpolation=cv2.INTER_NEAREST,
        )
        contours, _ = cv2.findContours(
            large, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
        )
        if len(contours) == 1:
            ring = (contours[0].reshape(-1, 2) + 1) // 3 + (x, y)  # (n, 2)
            ring = ring[np.any(ring != np.roll(ring, 1, axis=0), axis=1)]
            polygon = [ring.ravel().tolist()]
            drawn = mask_api.merge(mask_api.frPyObjects(polygon, *mask.shape))
            if drawn['counts'] == code['counts']:
                return polygon
    return {
        'size': [int(n) for n in code['size']],
        'counts': code['counts'].decode(),
    }


def _annotation(mask: np.ndarray, label: int, rle: bool) -> dict[str, Any]:
    """Return the COCO annotation of a mask, without ids."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return dict(
        category_id=label + 1,
        bbox=[x, y, w, h],
        area=int(mask.sum()),
        iscrowd=0,
        segmentation=encode_mask(mask, rle),
    )


def _draw_coco(
    split: str,
    parameters: dict[str, Any],
    folder: Path,
    maps: Path | None = None,
) -> None:
    """Write the images and the annotation file of a split into `folder`.

    With textures, label maps are written into `maps`. Their values are the
    shapes, followed by the textures.
    """
    height, width = parameters['image_size']
    images: list[dict] = []
    annotations: list[dict] = []
    for name, masks, labels, ground in draw_scenes(folder, split, parameters):
        if maps and ground is not None:
            label_map = ground + np.uint8(len(parameters['classes']))
            _write_map(maps / name, label_map, masks, labels)
        images.append(
            dict(
                id=len(images) + 1, file_name=name, height=height, width=width
            )
        )
        for mask, label in zip(masks, labels):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=len(images),
                    **_annotation(mask, int(label), parameters['rle']),
                )
            )
    categories = [
        dict(id=i + 1, name=name)
        for i, name in enumerate(parameters['classes'])
    ]
    if maps:
        write_manifest(maps / COCO_MANIFEST, parameters)
    write_manifest(
        folder / COCO_MANIFEST,
        parameters,
        images=images,
        annotations=annotations,
        categories=categories,
    )


def _write_map(
    path: Path, label_map: np.ndarray, masks: np.ndarray, labels: np.ndarray
) -> None:
    """Draw shapes into a label map `(H, W)`, in place, and write it as PNG."""
    for mask, label in zip(masks, labels):
        label_map[mask] = label
    write_image(path.with_suffix('.png'), label_map)


def _draw_ade(
    split: str, parameters: dict[str, Any], images: Path, maps: Path
) -> None:
    """Write the images of a split and their label maps into two folders."""
    for name, masks, labels, _ in draw_scenes(images, split, parameters):
        label_map = np.zeros(parameters['image_size'], np.uint8)
        _write_map(maps / name, label_map, masks, labels + 1)
    for folder in (images, maps):
        write_manifest(folder / ADE_MANIFEST, parameters)


def generate_coco(
    root: str | Path,
    splits: Mapping[str, int],
    *,
    rle: bool = False,
    **scene: Any,
) -> dict[str, Path]:
    """Generate a data set in COCO's layout, or reuse it.

    ```
    root/train2017/000000000001.jpg ...
    root/annotations/instances_train2017.json
    root/stuffthingmaps/train2017/000000000001.png ...
    ```

    Label maps are written if the scene has `textures`. Their values are the
    shapes in the order of the classes, followed by the textures.

    A split is complete or absent, also after an interruption; see
    `generate_once`.

    Args:
        root: Folder of the data set.
        splits: Number of images by name of the split, such as
            `{'train2017': 256, 'val2017': 64}`.
        rle: If True, every mask is an RLE. Otherwise a mask in one part is a
            polygon, and a mask in several parts an RLE.
        scene: Arguments of `scene_parameters`, such as `image_size`.

    Returns:
        The annotation file of each split.

    Raises:
        ValueError: If a parameter is out of range, or the folder of a split
            was generated with other parameters.
    """
    root = Path(root)
    files = {}
    for split, num_images in splits.items():
        parameters = dict(scene_parameters(num_images, **scene), rle=rle)
        folders = [split]
        if 'textures' in parameters:
            folders.append(f'stuffthingmaps/{split}')
        generate_once(
            root,
            folders,
            COCO_MANIFEST,
            parameters,
            partial(_draw_coco, split, parameters),
        )
        files[split] = root / 'annotations' / f'instances_{split}.json'
        _copy(root / split / COCO_MANIFEST, files[split])
    return files


def generate_ade(
    root: str | Path, splits: Mapping[str, int], **scene: Any
) -> None:
    """Generate a data set in ADE20K's layout, or reuse it.

    ```
    root/images/training/000000000001.jpg ...
    root/annotations/training/000000000001.png ...
    ```

    The scenes are as in `generate_coco`. In the label maps, 0 is the
    background, a class like any other, and n is the n-th shape.

    Args:
        root: Folder of the data set.
        splits: Number of images by name of the split, such as
            `{'training': 256, 'validation': 64}`.
        scene: Arguments of `scene_parameters`, such as `image_size`.

    Raises:
        ValueError: If a parameter is out of range, or the folder of a split
            was generated with other parameters.
    """
    for split, num_images in splits.items():
        parameters = scene_parameters(num_images, **scene)
        generate_once(
            Path(root),
            [f'images/{split}', f'annotations/{split}'],
            ADE_MANIFEST,
            parameters,
            partial(_draw_ade, split, parameters),
        )


def _copy(source: Path, target: Path) -> None:
    """Copy a file atomically, unless the target has the same content."""
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial_file:
        shutil.copyfile(source, partial_file)
