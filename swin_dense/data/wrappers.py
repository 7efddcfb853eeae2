"""Make the data sets inside wrappers, such as ConcatDataset, agree on labels.

A wrapper shows the class names of its first data set. The labels of its other
data sets must have the same meaning, which is checked here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.logging import print_log

# Transforms of mmdet that move boxes but not masks.
WITHOUT_MASKS = ('Mosaic', 'MixUp', 'RandomShift')
# Transforms of mmdet that combine images but not their label maps.
WITHOUT_MAPS = (*WITHOUT_MASKS, 'CachedMosaic', 'CachedMixUp', 'CopyPaste')


def _children(dataset: Any) -> Sequence[Any]:
    """Return the data sets with labels directly inside a wrapper."""
    if hasattr(dataset, 'labelled'):
        return [dataset.labelled]
    if hasattr(dataset, 'datasets'):
        return dataset.datasets
    return [dataset.dataset] if hasattr(dataset, 'dataset') else []


def _walk(dataset: Any) -> Iterator[Any]:
    """Yield a data set and all data sets inside it, outer before inner."""
    yield dataset
    for child in _children(dataset):
        yield from _walk(child)


def inner_datasets(dataset: Any) -> list[Any]:
    """Return the data sets inside nested wrappers.

    A data set that is not a wrapper is returned alone.
    """
    return [inner for inner in _walk(dataset) if not _children(inner)]


def inner_settings(settings: Any) -> Iterator[Any]:
    """Yield the configs of the data sets inside nested wrappers."""
    children = list(settings.get('datasets') or ())
    if settings.get('dataset') is not None:
        children.append(settings['dataset'])
    if not children:
        yield settings
    for child in children:
        yield from inner_settings(child)


def settings_by_name(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield a name and the settings of each data set of a config.

    Names are 'train', 'val' and 'test'. If a wrapper has several data sets, a
    number follows, as in 'train 2'.
    """
    for name in ('train', 'val', 'test'):
        outer = (config.get(f'{name}_dataloader') or {}).get('dataset')
        inner = [*inner_settings(outer)] if outer else []
        for number, settings in enumerate(inner, 1):
            yield f'{name} {number}' if inner[1:] else name, settings


def class_names_of(dataset: Any) -> Sequence[str] | None:
    """Return the class names of the first inner data set; None without."""
    meta = getattr(inner_datasets(dataset)[0], 'metainfo', None) or {}
    return meta.get('classes')


def _source(dataset: Any) -> str:
    """Return the file, folder or type that identifies a data set."""
    for name in ('ann_file', '_image_folder', '_folder'):
        if getattr(dataset, name, ''):
            return str(getattr(dataset, name))
    return type(dataset).__name__


def number_labels(dataset: Any, classes: Sequence[str]) -> None:
    """Renumber the labels of all inner data sets to an order of classes.

    Args:
        dataset: A data set or wrapper. Each inner data set must have these
            classes; if its order differs, it needs a method `relabel`.
        classes: Class names in label order.
    """
    for inner in inner_datasets(dataset):
        if list(inner.metainfo['classes']) != list(classes):
            inner.relabel(classes)
    _refresh(dataset)


def _refresh(dataset: Any) -> None:
    """Update the class names of wrappers, which copied them when created."""
    for wrapper in _walk(dataset):
        if _children(wrapper) and hasattr(wrapper, '_metainfo'):
            first = inner_datasets(wrapper)[0].metainfo
            kept = wrapper._metainfo
            kept = kept[0] if isinstance(kept, list) else kept
            wrapper._metainfo = {**kept, **first}


def share_labels(dataset: Any) -> None:
    """Give the labels of all data sets inside wrappers the same meaning.

    A COCO data set without classes in its config can be renumbered. It takes
    the order of the first data set with classes in its config, or of the
    first data set.

    Raises:
        ValueError: If data sets have different class names, have them in
            different orders in the config, read label maps differently, or
            only some of them are checked.
    """
    inner = inner_datasets(dataset)
    if inner == [dataset]:
        return
    _check_kinds(inner)
    fixed = [data for data in inner if getattr(data, 'classes_given', True)]
    reference = fixed[0] if fixed else inner[0]
    classes = list(reference.metainfo.get('classes') or ())
    for other in inner:
        _compare(reference, other)
        names = list(other.metainfo.get('classes') or ())
        if names != classes:
            print_log(
                f'{_source(other)} lists its categories as {names}; they are '
                f'numbered as in {_source(reference)}: {classes}',
                'current',
            )
    number_labels(dataset, classes)


def _check_kinds(inner: Sequence[Any]) -> None:
    """Raise a ValueError if only some of the data sets are checked."""
    by_check = {'Checked' in type(data).__name__: data for data in inner}
    if len(by_check) > 1:
        raise ValueError(
            f'{_source(by_check[False])} is read by '
            f'{type(by_check[False]).__name__}, whose labels are not checked, '
            'beside a checked data set: use '
            f'swin_dense.{type(by_check[True]).__name__} for all'
        )


def _compare(reference: Any, other: Any) -> None:
    """Raise a ValueError unless `other` can be numbered as `reference` is."""
    classes, names = (
        list(data.metainfo.get('classes') or ()) for data in (reference, other)
    )
    if {*names} != {*classes}:
        raise ValueError(
            f'{_source(reference)} and {_source(other)} name different '
            'classes: '
            f'only in the first {[n for n in classes if n not in names]}, '
            f'only in the second {[n for n in names if n not in classes]}. '
            'Set metainfo=dict(classes=[...]) in both to the same names'
        )
    if names != classes and getattr(other, 'classes_given', True):
        raise ValueError(
            'classes are in different orders: '
            f'{_source(reference)} {classes}, '
            f'{_source(other)} {names}. Label 0 must mean one class: set '
            'metainfo=dict(classes=[...]) to the same list in both'
        )
    for key in ('reduce_zero_label', 'ignore_index', 'label_map'):
        first, second = (
            getattr(data, key, None) for data in (reference, other)
        )
        if first != second:
            raise ValueError(
                f'{_source(reference)} has {key}={first}, {_source(other)} '
                f'{key}={second}: all label maps of a run must mean the same, '
                f'so set one {key} for all'
            )


def _steps(pipeline: Any) -> Sequence[Any]:
    """Return the transforms of a pipeline, a Compose or a list."""
    return getattr(pipeline, 'transforms', pipeline) or ()


def check_mixing(dataset: Any) -> None:
    """Check that transforms that combine images also combine their masks.

    Raises:
        ValueError: If a pipeline loads masks, or label maps of a semantic
            branch, and has a transform that leaves them unchanged.
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
            'masks too, or ',
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
                f'{remedy}leave {"it" if len(names) == 1 else "them"} out'
            )
