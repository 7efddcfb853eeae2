"""The segmentor's part of the pre-flight."""

from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict

from swin_dense.data.image_files import open_image, stored_values
from swin_dense.data.wrappers import class_names_of, inner_datasets
from swin_dense.files import open_regular
from swin_dense.segmentation.metric import CheckedIoUMetric

MAX_MAPS = 500  # label maps that are fed through the evaluator
# Learning rate and number of steps to learn by heart with. The rate is high,
# since heads sum over few channels.
TRIES = ((1e-2, 480),)
SEARCHED = 100  # images among which those to learn by heart are chosen
SIDE = 128  # of the images to learn by heart, in pixels
LEAST_SHARE = 0.95  # of pixels with the label of the file
IGNORED = 255  # of label maps as mmseg reads them


def count_classes(dataset: Any) -> list[int]:
    """Count the pixels of each class in all label maps."""
    classes = class_names_of(dataset) or ()
    counts = [0] * len(classes)
    for inner in inner_datasets(dataset):
        if not hasattr(inner, 'scan'):
            continue
        infos = [inner.get_data_info(i) for i in range(len(inner))]
        report = inner.report(inner.scan(infos))
        for value, label in report.labels.items():
            if label is not None and 0 <= label < len(counts):
                counts[label] += report.pixels[value]
    return counts


def truth_as_predictions(dataset: Any) -> list[dict[str, Any]]:
    """Return label maps as perfect predictions.

    The prediction is the file, with labels by the settings of the data set;
    the truth beside it went through the pipeline.

    Returns:
        A dict for each image, as metrics take it; at most `MAX_MAPS`, evenly
        spread.
    """
    count = min(len(dataset), MAX_MAPS)
    places = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    samples = []
    for place in places.tolist():
        sample = dataset[place]['data_samples'].to_dict()
        info = dataset.get_data_info(place)
        labels = read_labels(info)
        sample['pred_sem_seg'] = dict(data=torch.from_numpy(labels)[None])
        samples.append(sample)
    return samples


def read_labels(info: Mapping[str, Any]) -> np.ndarray:
    """Read the label map of an image, with the labels of its data set.

    Args:
        info: `seg_map_path`, `reduce_zero_label` and `label_map`, as mmseg's
            data sets give them.

    Returns:
        Labels (H, W), int64; 255 where they are ignored.
    """
    with (
        open_regular(info['seg_map_path']) as file,
        open_image(file) as image,
    ):
        labels = stored_values(image).astype(np.int64)
    if labels.ndim == 3:  # grey, as three equal channels
        labels = labels[..., 0]
    if info.get('reduce_zero_label'):
        is_ignored = (labels == 0) | (labels == IGNORED)
        labels = np.where(is_ignored, IGNORED, labels - 1)
    old_labels = labels.copy()
    for old, new in (info.get('label_map') or {}).items():
        labels[old_labels == old] = new
    return labels


def scored(values: Mapping[str, float]) -> dict[str, float]:
    """Return the name of the mean IoU, which is in percent."""
    return {name: 100.0 for name in values if name.split('/')[-1] == 'mIoU'}


def name_faults(metric: Any, dataset: Any) -> list[str]:
    """Name the classes that the truth, fed as predictions, misses."""
    return [
        f'class {name!r}: IoU {values["IoU"]:.2f} %'
        for name, values in getattr(metric, 'by_class', {}).items()
        if values.get('IoU') is not None and values['IoU'] < 99.95
    ]


def choose(dataset: Any, count: int) -> list[int]:
    """Choose images whose pixels are of many classes, in equal shares.

    Args:
        dataset: A data set without wrappers.
        count: Number of images.

    Returns:
        Their indices.
    """
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), SEARCHED))
    ranked = []
    for place in sorted({*places.round().astype(int).tolist()}):
        labels = read_labels(dataset.get_data_info(place))
        _, counts = np.unique(labels[labels != IGNORED], return_counts=True)
        shares = counts / max(1, counts.sum())
        ranked.append((float((shares * np.log(shares)).sum()), place))
    return [place for _, place in sorted(ranked)[:count]]


def resize_steps() -> list[dict[str, Any]]:
    """Return steps that give images their small size."""
    return [dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=False)]


def fit_to_samples(model: Any) -> Any:
    """Return the settings of a model for the small images."""
    model = dict(model)
    preprocessor = dict(model['data_preprocessor'])
    if preprocessor.get('size'):
        preprocessor['size'] = (SIDE, SIDE)
    return ConfigDict(
        model, data_preprocessor=preprocessor, test_cfg=dict(mode='whole')
    )


def too_slow(model: Mapping[str, Any]) -> str:
    """Return why a model cannot learn in minutes, or ''."""
    head = model.get('decode_head')
    if isinstance(head, Mapping) and 'num_queries' in head:
        return 'models with queries need thousands of steps'
    return ''


@torch.no_grad()
def measure(
    model: Any, packed: list[dict[str, Any]]
) -> tuple[dict[str, float], None]:
    """Return the mean IoU of a model on samples that it learns, and None.

    Args:
        model: A segmentor.
        packed: Samples of a training pipeline.
    """
    model.eval()
    counts: Any = 0
    for sample in packed:
        copy = sample['data_samples'].clone()
        size = copy.gt_sem_seg.data.shape[-2:]
        copy.set_metainfo(dict(ori_shape=tuple(size)))
        data = model.data_preprocessor(
            dict(inputs=[sample['inputs']], data_samples=[copy]), False
        )
        (predicted,) = model.predict(data['inputs'], data['data_samples'])
        truth = sample['data_samples'].gt_sem_seg.data[0]
        counts = counts + CheckedIoUMetric.intersect_and_union(
            predicted.pred_sem_seg.data[0],
            truth,
            model.decode_head.num_classes,
            model.decode_head.ignore_index,
        )
    hits = counts.diagonal()
    areas = counts.sum(0) + counts.sum(1) - hits
    present = counts.sum(1) > 0
    return {'mIoU': float((hits[present] / areas[present]).mean())}, None


def compare(
    info: Mapping[str, Any], packed: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Compare a label map in the file and after the pipeline.

    Args:
        info: What the data set says of the image.
        packed: What the pipeline made of it, without augmentation.

    Yields:
        'masks' and a sentence.
    """
    found = packed['data_samples'].gt_sem_seg.data[0].numpy()  # (H, W)
    expected = cv2.resize(
        read_labels(info).astype(np.int32),
        found.shape[::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    share = float((expected == found).mean())
    if share < LEAST_SHARE:
        yield (
            'masks',
            f'{info["seg_map_path"]}: {share:.1%} of the pixels have the '
            'label of the file',
        )
