"""Choose eight samples, and load them small and without augmentation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.dataset import Compose
from mmengine.runner import set_random_seed

from swin_dense.data.wrappers import inner_datasets, inner_settings

COUNT = 8
# Packages whose augmentations are known by name.
KNOWN = ('mmcv', 'mmdet', 'mmseg', 'mmaction', 'mmpretrain', 'swin_dense')
# Words in the names of transforms that augment or resize.
AUGMENTING = (
    'Random',
    'Resize',
    'Crop',
    'Flip',
    'Pad',
    'Jitter',
    'Distortion',
    'Mosaic',
    'MixUp',
    'CopyPaste',
    'Aug',
    'Albu',
    'Expand',
    'CutOut',
    'Erasing',
    'Filter',
    'Rotate',
    'Shear',
    'Translate',
    'Color',
    'Corrupt',
    'CLAHE',
    'Gamma',
    'Imgaug',
    'TorchVision',
)


class Samples(NamedTuple):
    """Samples of the training set as a small model gets them.

    Attributes:
        infos: What the data set says of each, before the pipeline.
        packed: What the pipeline returns for each.
        left_out: Names of unknown transforms that change images at random.
    """

    infos: list[dict[str, Any]]
    packed: list[dict[str, Any]]
    left_out: list[str]


def load_samples(context: Any) -> Samples:
    """Load eight samples of the training set.

    The steps are those of the training pipeline without augmentation, and
    with the image at a small size. Steps that a user wrote stay, unless they
    change images at random.
    """
    dataset = inner_datasets(context.dataset('train'))[0]
    settings = next(inner_settings(context.settings('train')))
    special = context.specialist
    places = special.choose(dataset, COUNT)
    pipeline = quieten(settings['pipeline'], special.resize_steps())
    own = [step for step in pipeline if not is_known(step)]
    infos = [dataset.get_data_info(place) for place in places]
    left_out: list[str] = []
    if own and _is_random(pipeline, dataset, places[0]):
        left_out = [str(step['type']) for step in own]
        pipeline = [step for step in pipeline if is_known(step)]
    return Samples(
        infos, [_load(pipeline, dataset, place) for place in places], left_out
    )


def quieten(
    pipeline: Sequence[Any], resize: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the steps of a pipeline without augmentation.

    Args:
        pipeline: Settings of the training pipeline.
        resize: Steps that give the images a small size. They follow the last
            step that loads or decodes.
    """
    steps = [
        _quiet(step)
        for step in pipeline
        if not is_known(step)
        or not any(word in _name(step) for word in AUGMENTING)
    ]
    loading = [
        index
        for index, step in enumerate(steps)
        if 'Load' in _name(step) or 'Decode' in _name(step)
    ]
    end = loading[-1] + 1 if loading else 0
    return [*steps[:end], *(dict(step) for step in resize), *steps[end:]]


def _quiet(step: Any) -> dict[str, Any]:
    """Return a step, without what it draws at random."""
    step = dict(step)
    if 'SampleFrames' in _name(step):
        step.update(test_mode=True, num_clips=1)
    return step


def is_known(step: Any) -> bool:
    """Return True for a transform of the hosts or of this package."""
    from mmengine.registry import TRANSFORMS

    with TRANSFORMS.switch_scope_and_registry(None) as registry:
        found: Any = registry.get(step['type'])
    return found is not None and found.__module__.split('.')[0] in KNOWN


def _name(step: Any) -> str:
    kind = step['type']
    name = kind if isinstance(kind, str) else kind.__name__
    return name.split('.')[-1]


def _load(pipeline: Any, dataset: Any, place: int) -> dict[str, Any]:
    set_random_seed(0)
    sample: Any = Compose(pipeline)(dataset.get_data_info(place))
    if sample is None:
        raise ValueError(
            f'the training pipeline returns nothing for sample {place}'
        )
    return sample


def _is_random(pipeline: Any, dataset: Any, place: int) -> bool:
    """Return True if a pipeline gives one image in different forms."""
    images = []
    for seed in range(4):
        set_random_seed(seed)
        sample: Any = Compose(pipeline)(dataset.get_data_info(place))
        images.append(sample['inputs'])
    return any(
        image.shape != images[0].shape or not torch.equal(image, images[0])
        for image in images
    )
