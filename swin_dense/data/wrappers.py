"""Data sets inside others, such as ConcatDataset and RepeatDataset.

A wrapper shows the class names of its first data set. Labels of the others
are only right if they mean the same, which is checked here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log

# Transforms of mmdet that move boxes and forget their masks.
WITHOUT_MASKS = ('Mosaic', 'MixUp', 'RandomShift')
# Those that combine images and forget the label maps of a semantic branch.
WITHOUT_MAPS = (*WITHOUT_MASKS, 'CachedMosaic', 'CachedMixUp', 'CopyPaste')


def _children(dataset: Any) -> Sequence[Any]:
    """Return the data sets directly inside a wrapper."""
    if hasattr(dataset, 'datasets'):
        return dataset.datasets
    return [dataset.dataset] if hasattr(dataset, 'dataset') else []


def _walk(dataset: Any) -> Iterator[Any]:
    """Yield a data set and all that are inside it, outer ones first."""
    yield dataset
    for child in _children(dataset):
        yield from _walk(child)


def inner_datasets(dataset: Any) -> list[Any]:
    """Return the data sets inside wrappers, however nested; at least one."""
    return [inner for inner in _walk(dataset) if not _children(inner)]


def _inner_settings(settings: Any) -> Iterator[Any]:
    """Yield the settings of the data sets inside wrappers."""
    children = list(settings.get('datasets') or ())
    if settings.get('dataset') is not None:
        children.append(settings['dataset'])
    if not children:
        yield settings
    for child in children:
        yield from _inner_settings(child)


def settings_by_name(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and settings of all data sets of a config.

    Names are 'train', 'val' and 'test', with a number where a wrapper holds
    several.
    """
    for name in ('train', 'val', 'test'):
        outer = (config.get(f'{name}_dataloader') or {}).get('dataset')
        inner = [*_inner_settings(outer)] if outer else []
        for number, settings in enumerate(inner, 1):
            yield f'{name} {number}' if inner[1:] else name, settings


def class_names_of(dataset: Any) -> Sequence[str] | None:
    """Return the class names of the first data set inside wrappers."""
    meta = getattr(inner_datasets(dataset)[0], 'metainfo', None) or {}
    return meta.get('classes')


def _source(dataset: Any) -> str:
    """Return what names a data set in messages."""
    for name in ('ann_file', '_image_folder', '_folder'):
        if getattr(dataset, name, ''):
            return str(getattr(dataset, name))
    return type(dataset).__name__


def number_labels(dataset: Any, classes: Sequence[str]) -> None:
    """Number the labels of all inner data sets after an order of the classes.

    They must have these classes, and be able to change their order.
    """
    for inner in inner_datasets(dataset):
        if list(inner.metainfo['classes']) != list(classes):
            inner.relabel(classes)
    _refresh(dataset)


def _refresh(dataset: Any) -> None:
    """Let wrappers show the names of their first data set, not a copy of
    earlier ones."""
    for wrapper in _walk(dataset):
        if _children(wrapper) and hasattr(wrapper, '_metainfo'):
            first = inner_datasets(wrapper)[0].metainfo
            kept = wrapper._metainfo
            kept = kept[0] if isinstance(kept, list) else kept
            wrapper._metainfo = {**kept, **first}


def share_labels(dataset: Any) -> None:
    """Make all data sets inside wrappers mean the same labels.

    Labels of COCO files follow names: a data set whose classes were not given
    is numbered as another one is.

    Raises:
        ValueError: Data sets name different classes, were given them in
            different orders, read label maps differently, or only some of
            them are checked.
    """
    inner = inner_datasets(dataset)
    if inner == [dataset]:
        return
    _check_kinds(inner)
    fixed = [data for data in inner if getattr(data, 'classes_given', True)]
    leader = fixed[0] if fixed else inner[0]
    classes = list(leader.metainfo.get('classes') or ())
    for other in inner:
        _compare(leader, other)
        names = list(other.metainfo.get('classes') or ())
        if names != classes:
            print_log(
                f'{_source(other)} lists its categories as {names}; they are '
                f'numbered as in {_source(leader)}: {classes}',
                'current',
            )
    number_labels(dataset, classes)


def _check_kinds(inner: Sequence[Any]) -> None:
    """Raise if only some of several data sets are checked."""
    kinds = {'Checked' in type(data).__name__: data for data in inner}
    if len(kinds) > 1:
        raise ValueError(
            f'{_source(kinds[False])} is read by '
            f'{type(kinds[False]).__name__}, whose labels are not checked, '
            'beside a checked data set: use '
            f'swin_dense.{type(kinds[True]).__name__} for all'
        )


def _compare(leader: Any, other: Any) -> None:
    """Raise unless a data set can be numbered as another one is."""
    classes, names = (
        list(data.metainfo.get('classes') or ()) for data in (leader, other)
    )
    if {*names} != {*classes}:
        raise ValueError(
            f'{_source(leader)} and {_source(other)} name different classes: '
            f'only in the first {[n for n in classes if n not in names]}, '
            f'only in the second {[n for n in names if n not in classes]}. '
            'Set metainfo=dict(classes=[...]) in both to the same names'
        )
    if names != classes and getattr(other, 'classes_given', True):
        raise ValueError(
            f'classes are in different orders: {_source(leader)} {classes}, '
            f'{_source(other)} {names}. Label 0 must mean one class: set '
            'metainfo=dict(classes=[...]) to the same list in both'
        )
    for key in ('reduce_zero_label', 'ignore_index', 'label_map'):
        first, second = (getattr(data, key, None) for data in (leader, other))
        if first != second:
            raise ValueError(
                f'{_source(leader)} has {key}={first}, {_source(other)} '
                f'{key}={second}: all label maps of a run must mean the same'
            )


def _steps(pipeline: Any) -> Sequence[Any]:
    """Return the transforms of a pipeline, composed or not."""
    return getattr(pipeline, 'transforms', pipeline) or ()


def check_mixing(dataset: Any) -> None:
    """Raise if images are mixed by transforms that forget their masks.

    Raises:
        ValueError: A pipeline loads masks, or label maps of a semantic
            branch, and combines images by a transform without them.
    """
    steps = [
        step
        for part in _walk(dataset)
        for step in _steps(getattr(part, 'pipeline', ()))
    ]
    for switch, what, transforms, remedy in (
        (
            'with_mask',
            'masks',
            WITHOUT_MASKS,
            'use CachedMosaic and CachedMixUp, or CopyPaste, which combine '
            'masks '
            'too, or',
        ),
        ('with_seg', 'label maps', WITHOUT_MAPS, ''),
    ):
        names = [
            type(step).__name__
            for step in steps
            if type(step).__name__ in transforms
        ]
        loads = any(
            getattr(step, switch, False)
            for step in steps
            if hasattr(step, 'with_bbox')
        )
        if loads and names:
            raise ValueError(
                f'the training pipeline loads {what} ({switch}=True), which '
                f'{" and ".join(dict.fromkeys(names))} would leave behind: '
                f'{remedy} leave {"it" if len(names) == 1 else "them"} out'.replace(  # noqa: E501
                    '  ', ' '
                )
            )
