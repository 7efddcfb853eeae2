"""Let a config test at several scales and flipped (test-time augmentation)."""

from collections.abc import Sequence
from copy import deepcopy

from mmengine.config import Config, ConfigDict

from swin_dense.engine.tasks import SEGMENTATION, find_task

Scale = tuple[int, int]


def add_tta(
    cfg: Config,
    ratios: Sequence[float] = (),
    scales: Sequence[Scale] = (),
    flip: bool | None = None,
) -> None:
    """Let a segmentor's or detector's config test at several scales, in place.

    A ratio multiplies the scale of the test pipeline's Resize; a scale
    replaces it. (The pipelines of mmseg's own configs multiply the size of
    the image file instead, which gives other results.) A pipeline without
    Resize has the scale factor 1.

    Arguments that are left out are taken from the config's `tta`, a dict of
    `ratios` or `scales`, `flip`, and for detectors arguments of
    `DetTTAModel`; without `tta` they are the defaults of the task.

    Args:
        cfg: Config of an mmseg or mmdet model.
        ratios: Factors of the test scale.
        scales: Longest and shortest side in pixels, instead of ratios.
        flip: Whether to test each scale flipped, too.

    Raises:
        ValueError: If a number is not positive, the config is of another
            host, or its test pipeline cannot be multiplied.
    """
    task = find_task(cfg)
    if task is None or not {*task.tta_heads} & {*cfg.model}:
        raise ValueError(
            'test-time augmentation is for semantic segmentation (a model '
            'with a decode_head) and for detectors of boxes and masks (with a '
            f'bbox_head or roi_head), and this config is of {cfg.model.type}: '
            'test without --tta'
        )
    options = dict(cfg.get('tta') or {})
    default_ratios = options.pop('ratios', ())
    default_scales = options.pop('scales', ())
    default_flip = options.pop('flip', True)
    if ratios or scales:
        options.pop('sizes', None)  # they go with the config's own scales
    else:
        ratios, scales = default_ratios, default_scales
    if not (ratios or scales):
        ratios = task.tta_ratios
    if ratios and scales:
        raise ValueError(
            'give ratios or scales of test-time augmentation, '
            f'not both, got {ratios=} and {scales=}'
        )
    _check(ratios, scales)
    if flip is None:
        flip = default_flip
    flips = (False, True) if flip else (False,)
    dataset = cfg.test_dataloader.dataset
    if 'pipeline' not in dataset:
        raise ValueError(
            'test-time augmentation needs the pipeline of the test data at '
            'test_dataloader.dataset.pipeline, and there is none'
        )
    dataset.pipeline = _augmented(dataset.pipeline, ratios, scales, flips)
    if 'sizes' in options:  # one entry for each scale, then for each view
        count = len(ratios or scales)
        if len(options['sizes']) != count:
            raise ValueError(
                'the sizes of boxes of test-time augmentation need an entry '
                f'for each of {count} scales, got {options["sizes"]}'
            )
        options['sizes'] = [s for s in options['sizes'] for _ in flips]
    cfg.model = ConfigDict(options, type=task.tta_model, module=cfg.model)


def _check(ratios: Sequence[float], scales: Sequence[Scale]) -> None:
    if ratios and min(ratios) <= 0:
        raise ValueError(
            'the ratios of test-time augmentation must be positive, such as '
            f'{SEGMENTATION.tta_ratios}, got {tuple(ratios)}'
        )
    if any(len(scale) != 2 or min(scale) < 1 for scale in scales):
        raise ValueError(
            'the scales of test-time augmentation must be pairs of positive '
            f'numbers, such as (1333, 800), got {list(scales)}'
        )


def _augmented(
    pipeline: Sequence[dict],
    ratios: Sequence[float],
    scales: Sequence[Scale],
    flips: Sequence[bool],
) -> list:
    """Return the steps before Resize, then those of each view."""
    types = [str(step['type']).rpartition('.')[2] for step in pipeline]
    places = [i for i, name in enumerate(types) if 'Resize' in name]
    if len(places) > 1 or places and types[places[0]] != 'Resize':
        raise ValueError(
            'test-time augmentation changes the scale of one Resize step, '
            f'but the test pipeline has {[types[i] for i in places]}'
        )
    first = places[0] if places else types.index('LoadImageFromFile') + 1
    if 'LoadAnnotations' in types[:first]:
        raise ValueError(
            'the test pipeline loads the labels before it resizes, so that '
            'they would be scaled and flipped: move LoadAnnotations behind '
            'Resize'
        )
    step = (
        pipeline[first]
        if places
        else dict(type='Resize', scale_factor=1.0, keep_ratio=True)
    )
    resizes = [_scaled(step, ratio) for ratio in ratios] or [
        _rescaled(step, scale) for scale in scales
    ]
    mirrors = [
        dict(type='RandomFlip', prob=float(mirror), direction='horizontal')
        for mirror in flips
    ]
    rest = [
        [_with_flip_keys(step)] for step in pipeline[first + len(places) :]
    ]
    return [
        *pipeline[:first],
        dict(type='TestTimeAug', transforms=[resizes, mirrors, *rest]),
    ]


def _scaled(step: dict, ratio: float) -> dict:
    """Return a Resize step with its scale multiplied."""
    step = deepcopy(dict(step))
    for key in ('scale', 'scale_factor'):
        value = step.get(key)
        if value is None:
            continue
        whole = key == 'scale'
        scaled = [
            (round(v * ratio) if whole else float(v * ratio))
            for v in (
                value if isinstance(value, (list, tuple)) else [value, value]
            )
        ]
        step[key] = tuple(scaled)
    return step


def _rescaled(step: dict, scale: Scale) -> dict:
    """Return a Resize step with its scale replaced."""
    kept = {key: v for key, v in step.items() if key != 'scale_factor'}
    return dict(kept, scale=tuple(scale))


def _with_flip_keys(step: dict) -> dict:
    """Return a step; one that packs inputs of a detector records flips.

    Configs list the `meta_keys` of a data sample, and often leave out flips,
    which a test without flips does not need.
    """
    if 'PackDetInputs' not in str(step['type']) or 'meta_keys' not in step:
        return step
    keys = dict.fromkeys((*step['meta_keys'], 'flip', 'flip_direction'))
    return dict(step, meta_keys=tuple(keys))
