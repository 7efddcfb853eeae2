"""Time of each part of a training step of a model on COCO's kind of data."""

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from swin_dense.analysis.benchmark import (
    BenchmarkCase,
    whole_model,
    whole_samples,
)
from swin_dense.engine.nonfinite_guard import NonFiniteGuard

DEFORMABLE = ('DeformConv2d', 'ModulatedDeformConv2d')  # of mmcv
LOSSES = 'losses and the rest'


class PartTime(NamedTuple):
    """Seconds that a part takes, forward and backward together.

    Attributes:
        name: Path of the part in the model; the rest is `LOSSES`.
        seconds: Median over the repeats.
    """

    name: str
    seconds: float


class StepTime(NamedTuple):
    """Time of a training step.

    Attributes:
        seconds: The whole step, forward and backward, in seconds.
        parts: Times of the parts, which add up to the whole step.
        deformable: Share of deformable convolutions, which are inside of
            other parts.
        guard: Seconds that the guard against NaN and infinity adds to it.
    """

    seconds: float
    parts: list[PartTime]
    deformable: float
    guard: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types, ready for JSON."""
        parts = [part._asdict() for part in self.parts]
        return dict(self._asdict(), parts=parts)

    def table(self) -> str:
        """Draw a line for each part, the whole step last."""
        rows = [*self.parts, PartTime('whole step', self.seconds)]
        width = max(len(row.name) for row in rows)
        lines = [
            f'{row.name:{width}}  {row.seconds:8.2f} s'
            f'  {row.seconds / self.seconds:6.1%}'
            for row in rows
        ]
        lines += [
            f'deformable convolutions: {self.deformable:.1%}',
            'guard against NaN and infinity, besides: '
            f'{self.guard * 1000:.1f} ms, {self.guard / self.seconds:.2%}',
        ]
        return '\n'.join(lines)


def time_step(case: BenchmarkCase) -> StepTime:
    """Time a training step, then each part of the model on its inputs.

    Args:
        case: The config, size, batch and repeats to measure.
    """
    model: Any = whole_model(case, 'ours').to(case.device).train()
    image = torch.randn(case.batch, 3, *case.shape, device=case.device)
    samples = whole_samples(case)

    def step() -> None:
        losses = model(image, samples, mode='loss')
        model.parse_losses(losses)[0].backward()

    calls: dict[str, list[tuple]] = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, args, name=name: calls.setdefault(name, []).append(
                args
            )
        )
        for name, module in _parts(model)
    ]
    step()
    for hook in hooks:
        hook.remove()
    whole = _median(case.repeats, step)
    guard = time_guard(model, max(case.repeats, 10))
    modules = dict(model.named_modules())
    seconds = {
        name: sum(_replay(modules[name], args, case.repeats) for args in each)
        for name, each in calls.items()
    }
    top = [
        PartTime(name, value)
        for name, value in seconds.items()
        if '.' not in name
    ]
    rest = whole - sum(part.seconds for part in top)
    deformable = sum(v for name, v in seconds.items() if '.' in name)
    return StepTime(
        whole,
        [*top, PartTime(LOSSES, max(rest, 0.0))],
        deformable / whole,
        guard,
    )


def time_guard(model: nn.Module, repeats: int) -> float:
    """Return the seconds that `NonFiniteGuard` needs in a training step.

    Args:
        model: A model with gradients.
        repeats: Number of measurements, of which the median counts.
    """
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    run: Any = SimpleNamespace(
        model=model,
        optim_wrapper=wrapper,
        iter=0,
        message_hub=MessageHub('time_guard'),
    )
    guard = NonFiniteGuard()
    guard.before_train(run)
    (part,) = guard.guarded
    loss = next(model.parameters()).detach().sum()

    def step() -> None:
        guard.before_train_iter(run, 0)
        part.see_loss(loss)
        part.end()
        guard.after_train_iter(run, 0, outputs=dict(loss=loss))

    return _median(repeats, step)


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the children of a model, and deformable convolutions inside."""
    for name, module in model.named_modules():
        if name and ('.' not in name or type(module).__name__ in DEFORMABLE):
            yield name, module


def _replay(module: nn.Module, args: Any, repeats: int) -> float:
    """Return the seconds of a module, forward and backward, on its inputs."""
    args = _leaves(args)

    def run() -> None:
        outputs = [x for x in _tensors(module(*args)) if x.requires_grad]
        torch.autograd.backward(outputs, [torch.ones_like(x) for x in outputs])

    return _median(repeats, run)


def _leaves(value: Any) -> Any:
    """Return inputs as leaves of the graph, with their gradients."""
    if isinstance(value, Tensor):
        return value.detach().requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(_leaves(entry) for entry in value)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(value.values())
    elif isinstance(value, Iterable):
        for entry in value:
            yield from _tensors(entry)


def _median(repeats: int, task: Any) -> float:
    """Return the median time of a task, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
