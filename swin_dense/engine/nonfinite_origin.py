"""Find the module in which NaN or infinity arises first."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

NAN, INFINITY = 'NaN', 'infinity'


class _Gradient(NamedTuple):
    """A gradient that is not finite.

    Attributes:
        kind: NaN or infinity.
        consumer: Whether the module is the one that takes the tensor, or the
            one that returns it.
        module: Name and type of the module.
        address: Address of the gradient in memory. Several modules see the
            same gradient.
    """

    kind: str
    consumer: bool
    module: str
    address: int


class OriginWatch:
    """Watches the passes of a model for the first NaN and infinity.

    Both are recorded, since a model may use infinity on purpose (as scores of
    places to leave out), and since a NaN often is the difference of two
    infinities.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._forward: dict[str, str] = {}
        self._gradients: list[_Gradient] = []
        self._handles: list[Any] = []

    def __enter__(self) -> 'OriginWatch':
        """Put hooks on all modules."""
        for name, module in self._model.named_modules():
            label = f'{name or "the model"} ({type(module).__name__})'
            self._handles += [
                module.register_forward_pre_hook(
                    lambda _, args, kwargs, label=label: self._see(
                        (args, kwargs), label, is_input=True
                    ),
                    with_kwargs=True,
                ),
                module.register_forward_hook(
                    lambda _, args, outputs, label=label: self._see(
                        outputs, label, is_input=False
                    )
                ),
            ]
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def see_losses(self, losses: Mapping[str, Any]) -> None:
        """Look at the losses that the model returned."""
        for name, value in losses.items():
            self._record(value, f'in the loss {name}')

    def describe(self) -> str | None:
        """Return where NaN and infinity arose first, None if nowhere."""
        # A gradient is computed only if the losses are finite: then infinity
        # in the forward pass was meant.
        found = self._gradient_places() or self._forward
        places = [f'{kind} first {where}' for kind, where in found.items()]
        return '; '.join(places) or None

    def _see(self, value: Any, label: str, is_input: bool) -> None:
        place = 'in the input of' if is_input else 'in the output of'
        self._record(value, f'{place} {label}')
        for tensor in tensors_of(value):
            if tensor.requires_grad:
                tensor.register_hook(
                    lambda gradient: self._see_gradient(
                        gradient, label, is_input
                    )
                )

    def _record(self, value: Any, where: str) -> None:
        if len(self._forward) == 2:
            return
        for tensor in tensors_of(value):
            kind = kind_of(tensor)
            if kind:
                self._forward.setdefault(
                    kind, f'{where}, {_dtype(tensor)}, {_size(tensor)}'
                )

    def _see_gradient(
        self, gradient: Tensor, label: str, consumer: bool
    ) -> None:
        if len(self._gradients) < 100:
            kind = kind_of(gradient)
            if kind:
                self._gradients.append(
                    _Gradient(kind, consumer, label, gradient.data_ptr())
                )

    def _gradient_places(self) -> dict[str, str]:
        """Return where a gradient was not finite first, by kind."""
        places = {}
        for kind in (NAN, INFINITY):
            events = [event for event in self._gradients if event.kind == kind]
            if not events:
                continue
            # The gradient of a module's inputs is computed by this module.
            consumers = [
                event.module
                for event in events
                if event.consumer and event.address == events[0].address
            ]
            if consumers:
                places[kind] = f'in the backward pass of {consumers[-1]}'
            else:
                places[kind] = (
                    'in the gradient of the output of '
                    f'{events[0].module}, so in what follows this module'
                )
        return places


def find_origin(
    model: nn.Module,
    passes: Iterable[Callable[[], Mapping[str, Any]]],
    backward: bool,
    scale: float = 1.0,
) -> str | None:
    """Repeat passes of a model, and find where NaN or infinity arises first.

    Gradients are left in the parameters; delete them afterwards.

    Args:
        model: The model, without a wrapper for several processes.
        passes: Functions that run the model on a batch and return its losses.
        backward: Whether to compute gradients, too.
        scale: Factor of the loss, as a GradScaler would set it.

    Returns:
        A clause such as 'NaN first in the output of backbone.norm0
        (LayerNorm), float32, (2, 96, 8, 8)'; None if all is finite this time.
    """
    found = None
    for run in passes:
        with OriginWatch(model) as watch:
            losses = run()
            watch.see_losses(losses)
            if backward:
                parse: Any = model.parse_losses
                (parse(losses)[0] * scale).backward()
        found = found or watch.describe()
    if found is None and backward:
        found = _describe_gradients(model)
    return found


def _describe_gradients(model: nn.Module) -> str | None:
    """Return which gradients are not finite or too large, None if none is."""
    largest = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            if kind_of(parameter.grad):
                return f'{kind_of(parameter.grad)} in the gradient of {name}'
            largest[name] = float(parameter.grad.abs().max())
    name = max(largest, key=largest.__getitem__, default='')
    if not largest or largest[name] < 1e15:  # its square fits float32
        return None
    return (
        f'each entry of the gradient is finite, up to {largest[name]:.2g} in '
        f'that of {name}, but their norm overflows'
    )


def can_repeat(model: nn.Module) -> bool:
    """Return True if a step of a model is a pass that can be repeated.

    It is not if the model has a `train_step` of its own.
    """
    step: Any = getattr(type(model), 'train_step', None)
    return step is BaseModel.train_step


def nonfinite_weights(model: nn.Module) -> list[str]:
    """Return names of parameters and buffers with NaN or infinity."""
    return [
        name
        for named in (model.named_parameters(), model.named_buffers())
        for name, tensor in named
        if kind_of(tensor)
    ]


def kind_of(tensor: Tensor) -> str:
    """Return 'NaN' or 'infinity' if a tensor holds one, '' if it is finite."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        return ''
    if bool(torch.isfinite(tensor).all()):
        return ''
    return NAN if bool(torch.isnan(tensor).any()) else INFINITY


def tensors_of(value: Any) -> Iterator[Tensor]:
    """Yield the tensors inside of lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_of(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from tensors_of(entry)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')


def _size(tensor: Tensor) -> str:
    return f'shape {tuple(tensor.shape)}'
