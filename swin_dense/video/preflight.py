"""The recognizer's part of the pre-flight."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from swin_dense.data.wrappers import class_names_of

# Learning rates and numbers of steps to learn by heart with.
TRIES = ((2e-3, 120), (5e-4, 120))
SIDE = 48  # of the clips to learn by heart, in pixels


def count_classes(dataset: Any) -> list[int]:
    """Count the clips of each class."""
    labels = [
        dataset.get_data_info(index)['label'] for index in range(len(dataset))
    ]
    size = len(class_names_of(dataset) or ())
    counts: list[int] = np.bincount(labels, minlength=size).tolist()
    return counts


def truth_as_predictions(dataset: Any) -> list[dict[str, Any]]:
    """Return the labels of all clips as perfect predictions.

    Returns:
        A dict for each clip, as metrics take it.
    """
    size = len(class_names_of(dataset) or ())
    samples = []
    for index in range(len(dataset)):
        label = torch.tensor([dataset.get_data_info(index)['label']])
        scores = torch.nn.functional.one_hot(label, size)[0].float()  # (C,)
        samples.append(dict(pred_score=scores, gt_label=label))
    return samples


def scored(values: Mapping[str, float]) -> dict[str, float]:
    """Return the name of the top-1 accuracy."""
    return {name: 1.0 for name in values if name.split('/')[-1] == 'top1'}


def name_faults(metric: Any, dataset: Any) -> list[str]:
    """Name the classes that the truth, fed as predictions, misses."""
    return [
        f'class {name!r}: top-1 {values["top1"]:.3f}'
        for name, values in getattr(metric, 'by_class', {}).items()
        if values['top1'] is not None and values['top1'] < 1
    ]


def choose(dataset: Any, count: int) -> list[int]:
    """Choose clips of a data set without wrappers, of as many classes.

    Args:
        dataset: The data set.
        count: Number of clips.

    Returns:
        Their indices.
    """
    seen: dict[int, list[int]] = {}
    for index in range(len(dataset)):
        label = int(dataset.get_data_info(index)['label'])
        seen.setdefault(label, []).append(index)
    turns = itertools.zip_longest(*seen.values())
    places = [i for turn in turns for i in turn if i is not None]
    return places[:count]


def resize_steps() -> list[dict[str, Any]]:
    """Return steps that give clips their small size."""
    return [dict(type='Resize', scale=(SIDE, SIDE), keep_ratio=False)]


def fit_to_samples(model: Any) -> Any:
    """Return the settings of a model for the small clips."""
    preprocessor = dict(model['data_preprocessor'])
    preprocessor.pop('blending', None)  # of clips, with their labels
    return dict(model, data_preprocessor=preprocessor)


def too_slow(model: Mapping[str, Any]) -> str:
    """Return why a model cannot learn in minutes, or ''."""
    return ''


@torch.no_grad()
def measure(
    model: Any, packed: list[dict[str, Any]]
) -> tuple[dict[str, float], None]:
    """Return the top-1 accuracy of a model on clips that it learns, and None.

    Args:
        model: A recognizer.
        packed: Samples of a training pipeline.
    """
    model.eval()
    hits = 0
    for sample in packed:
        data = model.data_preprocessor(
            dict(
                inputs=[sample['inputs']],
                data_samples=[sample['data_samples'].clone()],
            ),
            False,
        )
        (predicted,) = model.predict(data['inputs'], data['data_samples'])
        truth = int(sample['data_samples'].gt_label)
        hits += int(predicted.pred_score.argmax()) == truth
    return {'top-1': hits / len(packed)}, None


def compare(
    info: Mapping[str, Any], packed: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Compare the label of a clip in the list and after the pipeline.

    Args:
        info: What the data set says of the clip.
        packed: What the pipeline made of it, without augmentation.

    Yields:
        'classes' and a sentence.
    """
    label = int(packed['data_samples'].gt_label)
    if label != int(info['label']):
        yield (
            'classes',
            f'{info["filename"]}: label {label} instead of {info["label"]}',
        )
