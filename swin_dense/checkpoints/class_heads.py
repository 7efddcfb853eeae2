"""Heads for another number, or another order, of classes.

Of a layer that scores classes, the first axis runs over classes: C of them,
or C and the background last; once for each prior box where a head is dense,
prior by prior. Regressors of boxes have 4 rows for each class, class by class.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from swin_dense.checkpoints.class_names import class_heads
from swin_dense.checkpoints.report import Shape
from swin_dense.wording import first_few

# Number of classes in the file and in the model.
Counts = tuple[int, int]

# What the hosts call layers with a row per class. Needed only where the
# number of classes is the same, so that shapes do not tell.
_SCORES = re.compile(
    r'(.*\.)?(fc_cls|fc_reg|fc_mask_iou|conv_logits|conv_seg|'
    r'\w+_cls|cls_branches\.\d+|cls_embed|label_embedding)'
    r'\.(weight|bias)$'
)
_BY_CLASS = re.compile(r'(.*\.)?fc_reg\.(weight|bias)$')


class ClassRows(NamedTuple):
    """How classes lie on the first axis of a model's parameter.

    Attributes:
        classes: How many the model has.
        background: 1 if a row for the background follows theirs, else 0.
        repeats: Rows per class.
        by_class: Whether the rows of one class are neighbours.
    """

    classes: int
    background: int
    repeats: int
    by_class: bool

    def classes_of(self, rows: int) -> int | None:
        """The number of classes for which the layer has so many rows."""
        classes, rest = divmod(rows, self.repeats)
        classes -= self.background
        return classes if not rest and classes > 0 else None

    def grid(self, value: Tensor) -> Tensor:
        """A view `(classes and background, repeats, ...)`."""
        if self.by_class:
            return value.unflatten(0, (-1, self.repeats))
        return value.unflatten(0, (self.repeats, -1)).transpose(0, 1)


@dataclass
class FittedHeads:
    """What becomes of the layers that depend on the classes.

    Attributes:
        copied: Values for the model, with the rows of classes it shares.
        fresh: Names of parameters that keep the model's initial values.
        notes: A line for each change of the number of classes.
    """

    copied: dict[str, Tensor] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fit_heads(
    model: nn.Module,
    given: Mapping[str, Tensor],
    trained: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> FittedHeads:
    """Fit the heads of a checkpoint to a model for other classes.

    Where names are given and the counts are theirs, the rows of classes of
    the same name are copied, and the background's; the rows of other classes
    are the model's initial ones. Elsewhere a layer keeps all of its initial
    values if the number of classes differs.

    Args:
        model: Its heads know their `num_classes`; it is not changed.
        given: Names and values of the checkpoint, in the model's names.
        trained: Names of its classes in order, if rows shall be copied.
        classes: Names of the model's classes in order.
    """
    own = model.state_dict()
    both = {
        name: (tuple(given[name].shape), tuple(own[name].shape))
        for name in own
        if name in given
    }
    fitted = FittedHeads()
    for counts, layers in _changes(
        model, both, list(trained) != list(classes)
    ).items():
        if counts == (len(trained), len(classes)):
            shared = [name for name in classes if name in trained]
            for name, layout in layers.items():
                fitted.copied[name] = value = own[name].clone()
                mine, theirs = layout.grid(value), layout.grid(given[name])
                for label in shared:
                    mine[classes.index(label)] = theirs[trained.index(label)]
                if layout.background:
                    mine[-1] = theirs[-1]
            fitted.notes.append(
                f'{_copying(counts, shared, classes)}: {_names(layers)}'
            )
        elif counts[0] != counts[1]:
            fitted.fresh += layers
            fitted.notes.append(
                f're-initialised: {counts[0]} -> {counts[1]} '
                f'classes: {_names(layers)}'
            )
    return fitted


def explain_counts(
    model: nn.Module, shapes: Mapping[str, tuple[Shape, Shape]]
) -> list[str]:
    """Say so where shapes differ because the numbers of classes do.

    Args:
        model: Its heads know their `num_classes`.
        shapes: Shape in the file and in the model of each tensor that
            differs.

    Returns:
        A sentence for each pair of numbers.
    """
    return [
        f'The checkpoint has {theirs} classes, the model {mine} '
        f'({first_few(list(layers))}). Set num_classes to {theirs}; or train: '
        'with load_from=FILE in its config, tools/train.py starts from a '
        'checkpoint of other classes.'
        for (theirs, mine), layers in _changes(model, shapes).items()
    ]


def _changes(
    model: nn.Module,
    shapes: Mapping[str, tuple[Shape, Shape]],
    same_count: bool = False,
) -> dict[Counts, dict[str, ClassRows]]:
    """The layers that have other classes in the file than in the model.

    Args:
        model: Its heads know their `num_classes`.
        shapes: Shape in the file and in the model of each tensor in both.
        same_count: Whether to include layers for as many classes.
    """
    heads = dict(class_heads(model))
    changes: dict[Counts, dict[str, ClassRows]] = {}
    for name, (theirs, mine) in shapes.items():
        head = _innermost(heads, name)
        if (
            head is None
            or not mine
            or theirs[1:] != mine[1:]
            or (theirs == mine and not (same_count and _SCORES.match(name)))
        ):
            continue
        layout = _layout(head, name, mine[0])
        count = layout.classes_of(theirs[0]) if layout else None
        if layout and count:
            counts = (count, layout.classes)
            changes.setdefault(counts, {})[name] = layout
    return changes


def _innermost(heads: Mapping[str, nn.Module], name: str) -> nn.Module | None:
    """The head around a parameter; the model as a whole is none."""
    path = name.rpartition('.')[0]
    while path and path not in heads:
        path = path.rpartition('.')[0]
    return heads[path] if path else None


def _layout(head: nn.Module, name: str, rows: int) -> ClassRows | None:
    """The layout of a head's parameter, None where it has no classes."""
    classes: int = head.num_classes  # type: ignore[assignment]
    if _BY_CLASS.match(name):
        repeats, rest = divmod(rows, classes)
        agnostic = rest or getattr(head, 'reg_class_agnostic', False)
        return None if agnostic else ClassRows(classes, 0, repeats, True)
    scores = getattr(head, 'cls_out_channels', rows)
    background = scores - classes
    if background not in (0, 1) or rows % scores:
        return None
    return ClassRows(classes, background, rows // scores, False)


def _copying(
    counts: Counts, shared: Sequence[str], classes: Sequence[str]
) -> str:
    """What is copied for which classes, and what is not."""
    fresh = [name for name in classes if name not in shared]
    note = f'{counts[0]} -> {counts[1]} classes: rows of {len(shared)} copied'
    note += f' ({first_few(shared)})' if shared else ''
    return (
        f'{note}, {len(fresh)} re-initialised ({first_few(fresh)})'
        if fresh
        else note
    )


def _names(parameters: Mapping[str, ClassRows]) -> str:
    """The layers that parameters belong to, each once."""
    return ', '.join(dict.fromkeys(n.rpartition('.')[0] for n in parameters))
