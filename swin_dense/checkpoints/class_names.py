"""Class names of a checkpoint and of a model, and the heads that use them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.wording import first_few

# Modules whose `num_classes` is not that of the data set (a proposal is object
# or not, and HTC's semantic branch has other classes), or repeats that of a
# head (mmseg's segmentors).
_EXEMPT = {'RPNHead', 'FusedSemanticHead', 'VGG', 'EncoderDecoder'}


def class_heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of a model that have the data set's `num_classes`.

    A model that reads text has none: its numbers are those of tokens.

    Yields:
        Name in the model and module; outer modules before inner ones.
    """
    if reads_text(model):
        return
    for path, module in model.named_modules():
        count = getattr(module, 'num_classes', None)
        class_names = {cls.__name__ for cls in type(module).__mro__}
        if (
            isinstance(count, int)
            and not path.endswith('rpn_head')
            and not class_names & _EXEMPT
        ):
            yield path, module


def reads_text(model: nn.Module) -> bool:
    """Return True if a model takes the names of its classes as text.

    GLIP and Grounding DINO do; they work with any classes in any order.
    """
    return hasattr(getattr(model, 'module', model), 'language_model')


def stored_classes(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """Return the class names that OpenMMLab stored in a checkpoint."""
    meta = checkpoint.get('meta')
    return class_names(meta) if isinstance(meta, Mapping) else None


def class_names(meta: Mapping[str, Any]) -> list[str] | None:
    """Return the class names in metadata, or None.

    mmengine stores them as `classes` under `dataset_meta`; mmdet 2 and mmseg
    0 stored them as `CLASSES` at the top.
    """
    for inner in (meta.get('dataset_meta') or {}, meta):
        for key in ('classes', 'CLASSES'):
            names = inner.get(key)
            if isinstance(names, str):
                return [names]
            if isinstance(names, (list, tuple)) and names:
                return list(names)
    return None


def check_names(
    trained: Sequence[str],
    classes: Sequence[str],
    source: str = 'the data set',
    label: str = 'the checkpoint',
    strict: bool = True,
) -> None:
    """Check that a label means the same class in a checkpoint and elsewhere.

    Args:
        trained: Class names of the checkpoint in order.
        classes: Class names of a data set or model in order.
        source: Name of the data set or model, for the message.
        label: Name of the checkpoint, for the message.
        strict: If true, other names are an error; else they are a warning. A
            name with another index is an error in both cases.

    Raises:
        CheckpointError: If the order differs, or if `strict` and the names
            differ.
    """
    trained, classes = list(trained), list(classes)
    if trained == classes:
        return
    moved = [
        f'{name!r} is {trained.index(name)} in the checkpoint and {index} in '
        f'{source}'
        for index, name in enumerate(classes)
        if name in trained and trained.index(name) != index
    ]
    if moved and (not strict or set(trained) == set(classes)):
        raise CheckpointError(
            f'{label} has its classes in another order, so labels would be '
            f'swapped: {first_few(moved)}. Give the classes in the order of '
            f'the checkpoint, metainfo=dict(classes={trained}); or, to train '
            'on in another order, use swin-dense train --copy-classes, which '
            'moves them by name'
        )
    if strict:
        raise CheckpointError(
            f'{label} was trained on other classes than {source} has: only in '
            f'the checkpoint {[n for n in trained if n not in classes]}, only '
            f'in {source} {[n for n in classes if n not in trained]}. Set '
            f'metainfo=dict(classes={trained}) in the data set, or use '
            'another checkpoint'
        )
    MMLogger.get_current_instance().warning(
        f'{label} was trained for other classes: {first_few(trained)} instead '
        f'of {first_few(classes)}'
    )
