"""The classes of a checkpoint and of a model: their names, their heads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.logging import MMLogger
from torch import nn

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.wording import first_few

# Parts whose count is not that of the data set's classes (proposals are object
# or not, and HTC's semantic branch has classes of its own), or that repeat the
# count of a head (mmseg's segmentors).
_EXEMPT = {'RPNHead', 'FusedSemanticHead', 'VGG', 'EncoderDecoder'}


def class_heads(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The parts of a model that know a number of classes of the data set.

    A model that reads text has none: its numbers are those of tokens.

    Yields:
        Path in the model and part; an outer part comes before an inner one.
    """
    if reads_text(model):
        return
    for path, module in model.named_modules():
        count = getattr(module, 'num_classes', None)
        kinds = {kind.__name__ for kind in type(module).__mro__}
        if (
            isinstance(count, int)
            and not path.endswith('rpn_head')
            and not kinds & _EXEMPT
        ):
            yield path, module


def reads_text(model: nn.Module) -> bool:
    """Return whether a model is given the names of its classes as text.

    So are GLIP and Grounding DINO: any classes will do, in any order.
    """
    return hasattr(getattr(model, 'module', model), 'language_model')


def stored_classes(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """The class names that OpenMMLab stored in a checkpoint, if any."""
    meta = checkpoint.get('meta')
    return class_names(meta) if isinstance(meta, Mapping) else None


def class_names(meta: Mapping[str, Any]) -> list[str] | None:
    """Class names in meta data, or None.

    mmengine keeps them under `dataset_meta`; mmdet 2 and mmseg 0 wrote them
    in capitals and outside of it.
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
    """Check that label i means the same in a checkpoint and elsewhere.

    Args:
        trained: Names that the checkpoint was trained on, in order.
        classes: Names elsewhere, in order.
        source: Where those are from, for the message.
        label: The checkpoint, for the message.
        strict: Whether other names are an error; if not, they are a warning,
            while a name with another index remains an error.

    Raises:
        CheckpointError: Another order, or another set of names.
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
            f'swapped: {first_few(moved)}. Give the classes in its order, '
            f'metainfo=dict(classes={trained}); to train on in yours, let '
            'tools/train.py --copy-classes move them by name'
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
