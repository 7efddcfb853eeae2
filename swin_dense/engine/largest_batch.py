"""The largest batch that the data and the augmentation of a config can give.

The sizes of an image after a transform are bounds: `Sides` hold the smallest
and largest height and width. Each transform maps them to new ones.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from PIL import Image

from swin_dense.data.wrappers import inner_datasets, inner_settings
from swin_dense.engine.tasks import DETECTION, VIDEO, task_of
from swin_dense.engine.worst_batch import BatchSize

# Images without sizes in the annotations whose headers are read.
MAX_HEADERS = 2000
# Sides of videos, before all are resized. Only their ratio matters.
_VIDEO = (1080, 1920)


class Sides(NamedTuple):
    """Bounds of the height and width of an image, in pixels."""

    low_height: float
    height: float
    low_width: float
    width: float

    @classmethod
    def exactly(cls, height: float, width: float) -> 'Sides':
        """Return the bounds of an image whose size is known."""
        return cls(height, height, width, width)


_Settings = Mapping[str, Any]
_UNCHANGED = {
    'CollectMultiModal',
    'DecordDecode',
    'FilterAnnotations',
    'Flip',
    'FormatShape',
    'InstanceJitter',
    'LoadAnnotations',
    'LoadImageFromFile',
    'PackActionInputs',
    'PackDetInputs',
    'PackSegInputs',
    'PhotoMetricDistortion',
    'RandomErasing',
    'RandomFlip',
    'SampleFrames',
    'UniformSample',
    'VideoDecode',
    'VideoInit',
    'ClipRandAugment',
}


def find_largest_batch(cfg: Any, dataset: Any) -> BatchSize:
    """Return the size of the largest batch of a training.

    Args:
        cfg: Config of the training.
        dataset: Its training set, built.

    Raises:
        ValueError: If a transform is unknown that may change the size.
    """
    task = task_of(cfg)
    loader = cfg.train_dataloader
    images = loader.get('batch_size', 1)
    grouped = 'AspectRatio' in str(loader.get('batch_sampler') or {})
    groups: dict[Any, list[Sides]] = {}
    objects = 0
    pairs = zip(inner_datasets(dataset), inner_settings(loader['dataset']))
    steps: Sequence[_Settings] = ()
    outer = loader['dataset'].get('dataset') and loader['dataset'].get(
        'pipeline'
    )
    for inner, settings in pairs:
        steps = [*settings.get('pipeline', ()), *(outer or ())]
        sizes = {_VIDEO} if task is VIDEO else _image_sizes(inner)
        for size in sizes:
            key = size[1] < size[0] if grouped else None
            groups.setdefault(key, []).extend(
                apply_transforms(steps, Sides.exactly(*size))
            )
        if task is DETECTION:
            objects = max(objects, most_objects(inner))
    shapes = [
        shape for group in groups.values() for shape in _shapes(group, images)
    ]
    preprocessor = cfg.model.get('data_preprocessor') or {}
    shapes = [padded(shape, preprocessor) for shape in shapes]
    height, width = max(shapes, key=lambda shape: (math.prod(shape), shape))
    clip = _clip(steps) if task is VIDEO else ()
    return BatchSize(images, (*clip, height, width), objects)


def _shapes(sides: Iterable[Sides], images: int) -> list[tuple[int, int]]:
    """Return the shapes that images of a group are padded to."""
    shapes = {
        (math.ceil(each.height), math.ceil(each.width)) for each in sides
    }
    if images == 1:
        return [*shapes]
    return [
        (
            max(height for height, _ in shapes),
            max(width for _, width in shapes),
        )
    ]


def padded(shape: tuple[int, int], preprocessor: _Settings) -> tuple[int, int]:
    """Return the shape after the padding of a data preprocessor.

    Args:
        shape: Height and width of the largest image of a batch, in pixels.
        preprocessor: Settings of mmdet's or mmseg's data preprocessor.
    """
    size = preprocessor.get('size')
    if size:
        shape = (max(shape[0], size[0]), max(shape[1], size[1]))
    divisor = (
        preprocessor.get('pad_size_divisor')
        or preprocessor.get('size_divisor')
        or 1
    )
    height, width = (math.ceil(side / divisor) * divisor for side in shape)
    return height, width


def most_objects(dataset: Any) -> int:
    """Return the largest number of objects in an image of a data set."""
    counts = (
        len(dataset.get_data_info(index).get('instances', ()))
        for index in range(len(dataset))
    )
    return max(counts, default=0)


def _image_sizes(dataset: Any) -> set[tuple[int, int]]:
    """Return the heights and widths of the images of a data set."""
    count = len(dataset)
    step = max(1, count // MAX_HEADERS)
    sizes = set()
    for index in range(count):
        info = dataset.get_data_info(index)
        if 'height' in info and 'width' in info:
            sizes.add((info['height'], info['width']))
        elif index % step == 0 and 'img_path' in info:
            with Image.open(info['img_path']) as image:
                sizes.add((image.height, image.width))
    return sizes


def _clip(steps: Sequence[_Settings]) -> tuple[int, int]:
    """Return the number of views and frames of a clip in training."""
    for step in steps:
        if 'clip_len' in step:
            return step.get('num_clips', 1), step['clip_len']
    return 1, 1


def apply_transforms(steps: Iterable[_Settings], sides: Sides) -> list[Sides]:
    """Return the bounds of an image after each way through a pipeline.

    Args:
        steps: Settings of the transforms.
        sides: Bounds of the image before them.

    Raises:
        ValueError: If a transform is unknown that may change the size.
    """
    ways = [sides]
    for step in steps:
        ways = [*{new for way in ways for new in _apply(step, way)}]
    return ways


def _apply(step: _Settings, sides: Sides) -> list[Sides]:
    name = str(step['type']).rpartition('.')[2]
    if name in _UNCHANGED:
        return [sides]
    if name not in _TRANSFORMS:
        raise ValueError(
            f'the memory planner does not know what {name} does to the size '
            'of an image: give the largest size with --shape HEIGHT WIDTH'
        )
    return _TRANSFORMS[name](step, sides)


def _choice(step: _Settings, sides: Sides) -> list[Sides]:
    return [
        new
        for steps in step['transforms']
        for new in apply_transforms(
            [steps] if isinstance(steps, Mapping) else steps, sides
        )
    ]


def _resize(step: _Settings, sides: Sides) -> list[Sides]:
    scale, keeps = step.get('scale'), step.get('keep_ratio', False)
    if scale is None:
        factor = step['scale_factor']
        factors = factor if isinstance(factor, Sequence) else (factor, factor)
        return [_scaled(sides, factors[1], factors[0])]
    if isinstance(scale, (int, float)):
        return [_scaled(sides, scale, scale)]
    return _resized(sides, scale, step.get('keep_ratio', -1 in scale) or keeps)


def _scaled(sides: Sides, vertical: float, horizontal: float) -> Sides:
    return Sides(
        sides.low_height * vertical,
        sides.height * vertical,
        sides.low_width * horizontal,
        sides.width * horizontal,
    )


def _resized(
    sides: Sides, scale: Sequence[float], keeps_ratio: bool
) -> list[Sides]:
    """Resize to a width and height, or into a long and a short side."""
    if not keeps_ratio:
        return [Sides.exactly(scale[1], scale[0])]
    short, long = sorted(scale)
    if short == -1:  # the short side alone is given
        short, long = long, math.inf
    corners = [
        _fitted(height, width, short, long)
        for height, width in product(
            (sides.low_height, sides.height), (sides.low_width, sides.width)
        )
    ]
    heights, widths = zip(*corners)
    low_height, height = min(heights), max(heights)
    low_width, width = min(widths), max(widths)
    if min(height, width) <= short:
        return [Sides(low_height, height, low_width, width)]
    # One of the sides is the short one.
    return [
        Sides(low_height, short, low_width, width),
        Sides(low_height, height, low_width, short),
    ]


def _fitted(
    height: float, width: float, short: float, long: float
) -> tuple[int, int]:
    """Return the size of an image that is resized in proportion."""
    factor = min(long / max(height, width), short / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def _choice_resize(step: _Settings, sides: Sides) -> list[Sides]:
    keeps = step.get('keep_ratio', False)
    keeps = (step.get('resize_cfg') or {}).get('keep_ratio', keeps)
    return [
        new
        for scale in step['scales']
        for new in _resized(sides, _pair(scale), bool(keeps))
    ]


def _random_resize(step: _Settings, sides: Sides) -> list[Sides]:
    keeps = step.get('keep_ratio', False)
    scale = step['scale']
    scales = [_pair(each) for each in scale] if _is_nested(scale) else [scale]
    ratios = step.get('ratio_range') or (1.0, 1.0)
    ends = [
        way
        for each, ratio in product(scales, ratios)
        for way in _resized(sides, [side * ratio for side in each], keeps)
    ]
    return [_hull(ends)] if len(ends) == len(scales) * len(ratios) else ends


def _hull(ways: Sequence[Sides]) -> Sides:
    return Sides(
        min(way.low_height for way in ways),
        max(way.height for way in ways),
        min(way.low_width for way in ways),
        max(way.width for way in ways),
    )


def _crop(step: _Settings, sides: Sides) -> list[Sides]:
    first, second = _pair(step['crop_size'])
    kind = step.get('crop_type', 'absolute')
    if kind == 'absolute':
        return [
            Sides(
                min(sides.low_height, first),
                min(sides.height, first),
                min(sides.low_width, second),
                min(sides.width, second),
            )
        ]
    if kind == 'absolute_range':
        return [
            Sides(
                min(sides.low_height, first),
                min(sides.height, second),
                min(sides.low_width, first),
                min(sides.width, second),
            )
        ]
    whole = 1.0 if kind == 'relative_range' else None
    return [
        Sides(
            sides.low_height * first,
            sides.height * (whole or first),
            sides.low_width * second,
            sides.width * (whole or second),
        )
    ]


def _centre_crop(step: _Settings, sides: Sides) -> list[Sides]:
    height, width = _pair(step['crop_size'])
    return [Sides.exactly(height, width)]


def _resized_crop(step: _Settings, sides: Sides) -> list[Sides]:
    return [sides._replace(low_height=1, low_width=1)]


def _pad(step: _Settings, sides: Sides) -> list[Sides]:
    low_height, height, low_width, width = sides
    if step.get('size'):
        columns, rows = step['size']
        height, low_height = max(height, rows), max(low_height, rows)
        width, low_width = max(width, columns), max(low_width, columns)
    if step.get('pad_to_square'):
        height = width = max(height, width)
    divisor = step.get('size_divisor') or 1
    return [
        Sides(
            low_height,
            math.ceil(height / divisor) * divisor,
            low_width,
            math.ceil(width / divisor) * divisor,
        )
    ]


def _pair(value: Any) -> Sequence[float]:
    return value if isinstance(value, Sequence) else (value, value)


def _is_nested(value: Any) -> bool:
    return isinstance(value[0], Sequence)


_TRANSFORMS: dict[str, Callable[[_Settings, Sides], list[Sides]]] = {
    'CenterCrop': _centre_crop,
    'Pad': _pad,
    'RandomChoice': _choice,
    'RandomChoiceResize': _choice_resize,
    'RandomCrop': _crop,
    'RandomResize': _random_resize,
    'RandomResizedCrop': _resized_crop,
    'Resize': _resize,
    'ThreeCrop': _centre_crop,
}
