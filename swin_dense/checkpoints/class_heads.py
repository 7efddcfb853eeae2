"""Fit heads to another number, or another order, of classes.

The rows (first axis) of a layer that scores classes are C classes, perhaps
followed by the background. In a dense head these rows repeat for each prior
box, prior by prior. The layer that regresses boxes has 4 rows for each class,
class by class.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from swin_dense.checkpoints.class_names import class_heads
from swin_dense.checkpoints.report import Shape
from swin_dense.wording import first_few

# Number of classes in the checkpoint and in the model.
Counts = tuple[int, int]

# The hosts' names of layers with a row per class. Needed only if the numbers
# of classes are equal, when shapes do not show these layers.
_SCORES = re.compile(
    r'(.*\.)?(fc_cls|fc_reg|fc_mask_iou|conv_logits|conv_seg|'
    r'\w+_cls|cls_branches\.\d+|cls_embed|label_embedding|'
    r'reppoints_(cls|sem)_out)'
    r'\.(weight|bias)$'
)
_BY_CLASS = re.compile(r'(.*\.)?fc_reg\.(weight|bias)$')


class ClassRows(NamedTuple):
    """Order of the classes on the first axis of a model's parameter.

    Attributes:
        classes: Number of classes of the model.
        background: 1 if a row for the background follows the classes, else 0.
        repeats: Rows per class.
        by_class: If true, the rows of a class are neighbours.
    """

    classes: int
    background: int
    repeats: int
    by_class: bool

    def classes_of(self, rows: int) -> int | None:
        """Return the number of classes that a number of rows implies.

        Returns:
            None if the rows fit no number of classes.
        """
        classes, rest = divmod(rows, self.repeats)
        classes -= self.background
        return classes if not rest and classes > 0 else None

    def grid(self, value: Tensor) -> Tensor:
        """Return a view `(classes + background, repeats, ...)`."""
        if self.by_class:
            return value.unflatten(0, (-1, self.repeats))
        # (repeats, classes, ...), then (classes, repeats, ...)
        return value.unflatten(0, (self.repeats, -1)).transpose(0, 1)


@dataclass
class FittedHeads:
    """Values of the layers that depend on the classes.

    Attributes:
        copied: Values for the model, with the rows of shared classes copied.
        fresh: Names of parameters that keep the model's initial values.
        notes: A line for each pair of numbers of classes.
    """

    copied: dict[str, Tensor] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def fit_heads(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    trained: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> FittedHeads:
    """Fit the heads of a checkpoint to a model for other classes.

    If class names are given, and a layer has as many classes as there are
    names, the rows of classes with the same name and of the background are
    copied; the rows of other classes keep the model's initial values. Any
    other layer keeps all initial values if the numbers of classes differ.

    Args:
        model: Model whose heads have `num_classes`; it is not changed.
        weights: State_dict of the checkpoint under the model's names.
        trained: Class names of the checkpoint in order, to copy rows.
        classes: Class names of the model in order.
    """
    model_state = model.state_dict()
    shapes = {
        name: (tuple(weights[name].shape), tuple(model_state[name].shape))
        for name in model_state
        if name in weights
    }
    fitted = FittedHeads()
    for counts, layers in _changes(
        model, shapes, list(trained) != list(classes)
    ).items():
        if counts == (len(trained), len(classes)):
            shared = [name for name in classes if name in trained]
            for name, rows in layers.items():
                fitted.copied[name] = value = model_state[name].clone()
                target, source = rows.grid(value), rows.grid(weights[name])
                for label in shared:
                    target[classes.index(label)] = source[trained.index(label)]
                if rows.background:
                    target[-1] = source[-1]
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
    """Explain shapes that differ because the numbers of classes differ.

    Args:
        model: Model whose heads have `num_classes`.
        shapes: Shape in the checkpoint and in the model of each tensor whose
            shapes differ.

    Returns:
        A sentence for each pair of numbers of classes.
    """
    return [
        f'The checkpoint has {in_file} classes, the model {in_model} '
        f'({first_few(layers)}). Set num_classes to {in_file}; or train: '
        'with load_from=FILE in its config, swin-dense train starts from a '
        'checkpoint of other classes.'
        for (in_file, in_model), layers in _changes(model, shapes).items()
    ]


def _changes(
    model: nn.Module,
    shapes: Mapping[str, tuple[Shape, Shape]],
    same_count: bool = False,
) -> dict[Counts, dict[str, ClassRows]]:
    """Return the parameters that have other classes in the checkpoint.

    Args:
        model: Model whose heads have `num_classes`.
        shapes: Shape in the checkpoint and in the model of each tensor.
        same_count: If true, layers for the same number of classes are
            included.

    Returns:
        Parameters by their numbers of classes.
    """
    heads = dict(class_heads(model))
    changes: dict[Counts, dict[str, ClassRows]] = {}
    for name, (in_file, in_model) in shapes.items():
        head = _innermost(heads, name)
        if (
            head is None
            or not in_model
            or in_file[1:] != in_model[1:]
            or (
                in_file == in_model
                and not (same_count and _SCORES.match(name))
            )
        ):
            continue
        rows = _class_rows(head, name, in_model[0])
        count = rows.classes_of(in_file[0]) if rows else None
        if rows and count:
            counts = (count, rows.classes)
            changes.setdefault(counts, {})[name] = rows
    return changes


def _innermost(heads: Mapping[str, nn.Module], name: str) -> nn.Module | None:
    """Return the innermost head that contains a parameter, or None."""
    path = name.rpartition('.')[0]
    while path and path not in heads:
        path = path.rpartition('.')[0]
    return heads[path] if path else None


def _class_rows(head: nn.Module, name: str, rows: int) -> ClassRows | None:
    """Return the order of classes in a head's parameter; None without any."""
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
    """Describe which classes have their rows copied, and which have not."""
    fresh = [name for name in classes if name not in shared]
    note = f'{counts[0]} -> {counts[1]} classes: rows of {len(shared)} copied'
    note += f' ({first_few(shared)})' if shared else ''
    return (
        f'{note}, {len(fresh)} re-initialised ({first_few(fresh)})'
        if fresh
        else note
    )


def _names(parameters: Mapping[str, ClassRows]) -> str:
    """Return the names of the layers that parameters belong to."""
    return ', '.join(dict.fromkeys(n.rpartition('.')[0] for n in parameters))
