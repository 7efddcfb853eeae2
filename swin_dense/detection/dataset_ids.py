"""Find ids and colours of classes in the config of a data set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdet.datasets import CocoDataset
from mmengine.registry import DATASETS

from swin_dense.files import UnreadableFileError, read_json
from swin_dense.visualization.palette import palette_of

# Numbers from 1 to 90 that are no category of COCO.
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
_COCO_IDS = dict(
    zip(
        CocoDataset.METAINFO['classes'],
        (number for number in range(1, 91) if number not in _UNUSED),
    )
)


class DatasetIds(NamedTuple):
    """Ids of a data set.

    Attributes:
        categories: Category id of each class in label order.
        images: Id of an image by its file name without folders; names that
            are not unique are left out.
    """

    categories: list[int]
    images: dict[str, int]


def find_ids(dataset: Mapping[str, Any], classes: Sequence[str]) -> DatasetIds:
    """Return the ids of classes and images in a data set.

    Without an annotation file that has all classes, COCO's classes have
    COCO's ids, and other classes 1, 2, ...

    Args:
        dataset: Config of the data set.
        classes: Class names in label order.
    """
    path = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    images: dict[str, int] = {}
    ids: Mapping[str, int] = {}
    if path.suffix == '.json' and path.is_file():
        try:
            content = read_json(path)
            ids = {c['name']: c['id'] for c in content['categories']}
            images = {
                Path(image['file_name']).name: image['id']
                for image in content['images']
            }
            times = Counter(
                Path(image['file_name']).name for image in content['images']
            )
            images = {name: images[name] for name in images if times[name] < 2}
        except (UnreadableFileError, KeyError, TypeError):
            ids, images = {}, {}  # a prediction needs no annotations
    for known in (ids, _COCO_IDS):
        if {*classes} <= {*known}:
            return DatasetIds([known[name] for name in classes], images)
    return DatasetIds(list(range(1, len(classes) + 1)), images)


def find_palette(
    dataset: Mapping[str, Any], classes: Sequence[str]
) -> list[Sequence[int]] | None:
    """Return the colours of classes in a data set, None without a palette.

    Args:
        dataset: Config of the data set.
        classes: Class names in label order.
    """
    own = dataset.get('metainfo') or {}
    kind = DATASETS.get(dataset['type']) if 'type' in dataset else None
    for meta in (own, {**getattr(kind, 'METAINFO', {}), **own}):
        palette, names = palette_of(meta), meta.get('classes') or classes
        if isinstance(names, str) or palette is None:
            continue
        table = dict(zip(names, palette))
        if {*classes} <= {*table}:
            return [table[name] for name in classes]
    return None
