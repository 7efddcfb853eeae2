"""Differences in the classes of a checkpoint and a model, explained."""
from typing import Any, Mapping, Optional, Sequence

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.report import Shape, examples


def stored_classes(checkpoint: Mapping[str, Any]) -> Optional[list[str]]:
    """The class names that OpenMMLab stored in a checkpoint, if any."""
    meta = checkpoint.get('meta')
    return _class_names(meta) if isinstance(meta, Mapping) else None


def check_names(label: str, checkpoint: Mapping[str, Any], model: nn.Module,
                classes: Optional[Sequence[str]]) -> None:
    """Compare the names of the classes, where both sides are known.

    Args:
        label: The file or address.
        checkpoint: Its content.
        model: Asked for `dataset_meta` where `classes` are not given.
        classes: Names that the model is used with, in order.

    Raises:
        CheckpointError: If a name has another index on the other side.
    """
    theirs = stored_classes(checkpoint)
    if classes is None:
        classes = _class_names(
            {'dataset_meta': getattr(model, 'dataset_meta', None)})
    if not theirs or not classes or theirs == list(classes):
        return
    moved = [
        f'{name!r} is {theirs.index(name)} in the checkpoint and {index} here'
        for index, name in enumerate(classes)
        if name in theirs and theirs.index(name) != index
    ]
    if moved:
        raise CheckpointError(
            f'{label} has its classes in another order, so labels would be '
            f'swapped: {examples(moved)}. Give the classes in its order: '
            f'{theirs}')
    MMLogger.get_current_instance().warning(
        f'{label} was trained for other classes: {examples(theirs)} instead '
        f'of {examples(list(classes))}')


def explain_counts(model: nn.Module,
                   shapes: Mapping[str, tuple[Shape, Shape]]) -> list[str]:
    """Say so where shapes differ because the numbers of classes do.

    Args:
        model: Its heads know their `num_classes`.
        shapes: Shape in the file and in the model of each tensor that
            differs.

    Returns:
        No sentence or one.
    """
    counts: dict[tuple[int, int], list[str]] = {}
    for name, (theirs, mine) in shapes.items():
        own = _num_classes(model, name)
        if own is None or not theirs or theirs[1:] != mine[1:]:
            continue
        other = _count(theirs[0], mine[0], own)
        if other is not None:
            counts.setdefault((other, own), []).append(name)
    return [
        f'The checkpoint has {other} classes, the model {own} '
        f'({examples(names)}). Set num_classes to {other}, or, to train on '
        'other classes, leave load_from out and start from its backbone: '
        "backbone.init_cfg=dict(type='Pretrained', checkpoint=...)."
        for (other, own), names in counts.items()
    ]


def _class_names(meta: Mapping[str, Any]) -> Optional[list[str]]:
    """Class names under the keys of mmengine, or those of mmcv 1."""
    inner = meta.get('dataset_meta') or meta
    for key in ('classes', 'CLASSES'):
        if isinstance(inner.get(key), (list, tuple)):
            return list(inner[key])
    return None


def _num_classes(model: nn.Module, name: str) -> Optional[int]:
    """The `num_classes` of the innermost module around a parameter."""
    path = name
    while path:
        path = path.rpartition('.')[0]
        count = getattr(model.get_submodule(path), 'num_classes', None)
        if isinstance(count, int) and count > 0:
            return count
    return None


def _count(theirs: int, mine: int, own: int) -> Optional[int]:
    """Classes of a layer with so many outputs.

    Outputs are classes times something (4 for boxes), or classes and one for
    the background.
    """
    if mine == own + 1:
        return theirs - 1
    factor, rest = divmod(mine, own)
    return theirs // factor if not rest and theirs % factor == 0 else None
