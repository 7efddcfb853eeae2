"""Write a COCO data set of three images, which tests damage."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 40, 30


def tiny_data() -> dict[str, Any]:
    """Return four boxes of two classes on the first two of three images.

    Ids of categories, images and annotations neither start at 0 nor
    follow the order of their lists.
    """
    boxes = [
        (7, [2, 3, 10, 8], 20),
        (7, [20, 10, 15, 18], 10),
        (5, [25, 2, 10, 12], 10),
        (5, [1, 15, 9, 12], 20),
    ]
    annotations = []
    for i, (image, (x, y, w, h), category) in enumerate(boxes):
        ring = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            dict(
                id=100 + i,
                image_id=image,
                category_id=category,
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[ring],
            )
        )
    return dict(
        images=[
            dict(id=i, file_name=f'{i}.png', width=WIDTH, height=HEIGHT)
            for i in (7, 5, 9)
        ],
        annotations=annotations,
        categories=[dict(id=20, name='cat'), dict(id=10, name='dog')],
    )


def write_data(
    root: Path, data: dict[str, Any], name: str = 'train'
) -> tuple[Path, Path]:
    """Write the JSON file and its images; return the file and the folder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for image in data.get('images', []):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(folder / image['file_name']), pixels)
    ann_file = root / 'annotations' / f'{name}.json'
    ann_file.parent.mkdir(exist_ok=True)
    ann_file.write_text(json.dumps(data))
    return ann_file, folder


def dataset_config(root: Path, name: str = 'train', **changes) -> dict:
    """Return arguments of a CheckedCocoDataset for files of `write_data`."""
    return dict(
        data_root=str(root),
        ann_file=f'annotations/{name}.json',
        data_prefix=dict(img=f'{name}/'),
        **changes,
    )


def run_checks(
    data: dict, path: str, classes: Any = None, masks: bool = True, **kwargs
) -> tuple[list[int], dict]:
    """Run the checks of a data set in order.

    Returns:
        The category ids in label order, and the ids of unusable annotations.
    """
    from swin_dense.detection import annotation_checks, box_checks
    from swin_dense.detection.mask_checks import check_masks

    box_checks.fill_in_optional_fields(data)
    annotation_checks.check_ids(data, path)
    annotation_checks.check_categories(data, path)
    ids = annotation_checks.match_classes(data, classes, path, **kwargs)
    lost = box_checks.check_boxes(data, path)
    if masks:
        lost.update(check_masks(data, path))
    return ids, lost
