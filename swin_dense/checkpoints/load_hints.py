"""Sentences on the likely cause if a checkpoint does not fit a model."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import nn

from swin_dense.checkpoints.class_heads import explain_counts
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.layouts.translate import read_backbone
from swin_dense.checkpoints.native import is_output_norm
from swin_dense.checkpoints.report import Shape

# Shape in the checkpoint and in the model, by name.
Shapes = Mapping[str, tuple[Shape, Shape]]
# From the shapes that differ and the names that are missing.
Hints = Callable[[Shapes, Sequence[str]], list[str]]


def describe_difference(in_file: StateDict, in_model: StateDict) -> list[str]:
    """Describe the variants of checkpoint and model if they differ.

    Args:
        in_file: Backbone of the checkpoint under native names.
        in_model: Backbone of the model.

    Returns:
        A list of one sentence, or [].
    """
    variant, expected = describe(in_file), describe(in_model)
    if variant is None or expected is None or variant == expected:
        return []
    return [f'It looks like {variant}, the model is {expected}.']


def explain_model_mismatch(
    model: nn.Module,
    weights: StateDict,
    source_format: str,
    shapes: Shapes,
    missing: Sequence[str],
) -> list[str]:
    """Explain why the weights of a checkpoint do not fit a whole model.

    Args:
        model: Detector, segmentor or another whole model.
        weights: State_dict of the checkpoint under the model's names.
        source_format: Layout and kind of model of the checkpoint.
        shapes: Shapes that differ.
        missing: Names that only the model has.

    Returns:
        Sentences with the likely cause and the remedy; [] if none is known.
    """
    model_state = model.state_dict()
    sentences = explain_counts(model, shapes)
    if missing and all(is_output_norm(_in_backbone(name)) for name in missing):
        sentences.append(
            'Only norms of outputs are missing: the file has those of '
            f'{_outputs_with_norm(weights)}, the model of '
            f'{_outputs_with_norm(model_state)}. Set backbone.out_indices to '
            'the outputs that the file has, or give it as backbone.init_cfg, '
            'where new norms may start.'
        )
    elif source_format.endswith((' classifier', ' backbone')):
        sentences.append(
            'It holds a backbone only: give it as backbone.init_cfg='
            "dict(type='Pretrained', checkpoint=...) in the config."
        )
    try:
        in_file, in_model = map(read_backbone, (weights, model_state))
    except ValueError:  # checkpoint or model has no Swin
        return sentences
    return sentences + describe_difference(in_file.weights, in_model.weights)


def _in_backbone(name: str) -> str:
    """Return the name that a parameter of a model has in its backbone."""
    return name.removeprefix('backbone.')


def _outputs_with_norm(state_dict: Iterable[str]) -> str:
    """Return the numbers of the outputs that have norms, as text."""
    numbers = sorted(
        _in_backbone(name).removeprefix('norm').partition('.')[0]
        for name in state_dict
        if is_output_norm(_in_backbone(name)) and name.endswith('.weight')
    )
    return ', '.join(numbers) or 'none'
