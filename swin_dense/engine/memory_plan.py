"""Say whether a training fits into memory, and what would fit."""

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from swin_dense.engine.process_memory import free_memory, status
from swin_dense.engine.step_memory import StepMemory, measure, predict
from swin_dense.engine.tasks import Task
from swin_dense.engine.worst_batch import BatchSize, make_batch
from swin_dense.layers import SwinStage, WindowAttentionBase
from swin_dense.wording import counted

GIB = 2**30
# Share of the memory that a training may take: predictions were up to 12 %
# too low (docs/memory.md), and other programs take some.
SAFE = 0.85
# Side of smaller images, as a share.
_SMALLER = 0.75
_Change = Callable[[nn.Module], None]


class Way(NamedTuple):
    """A way to train, and its predicted memory.

    Attributes:
        name: What differs from the config.
        options: Settings for `--cfg-options`; empty if no setting does it.
        memory: Memory of a step with the batch of the config.
        per_image: Bytes that another image adds.
        needed: Bytes that the batch of the config needs.
        fits: Images that fit at most.
    """

    name: str
    options: str
    memory: StepMemory
    per_image: float
    needed: float
    fits: int


class Plan(NamedTuple):
    """What a training needs, and what the machine has.

    Attributes:
        size: Size of the largest batch.
        unit: Plural noun for the items of a batch.
        available: Bytes that a process may take.
        process: Bytes of the process besides the step; 0 on a GPU.
        ways: Ways to train; the first is as configured.
        measured: Bytes that were measured as configured; None without a run.
        device: Device as torch names it.
    """

    size: BatchSize
    unit: str
    available: int
    process: int
    ways: list[Way]
    measured: int | None
    device: str

    @property
    def needed(self) -> float:
        """Bytes that the training needs, measured or predicted."""
        return self.measured or self.ways[0].needed

    @property
    def fits(self) -> bool:
        """True if the training needs no more than there is."""
        return self.needed <= SAFE * self.available

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain types, for JSON."""
        return dict(
            self._asdict(),
            size=self.size._asdict(),
            ways=[
                dict(way._asdict(), memory=way.memory._asdict())
                for way in self.ways
            ],
            fits=self.fits,
        )

    def describe(self) -> str:
        """Return a report of some lines."""
        memory = self.ways[0].memory
        where = 'GPU' if self.device.startswith('cuda') else 'machine'
        lines = [f'Largest batch: {describe_size(self.size, self.unit)}', '']
        parts = [
            ('weights', memory.weights),
            ('gradients', memory.gradients),
            ('state of the optimizer', memory.optimizer),
            ('kept for the backward pass', memory.activations),
            ('largest operation', memory.work),
        ]
        if self.process:
            parts.append(('program and data set', self.process))
        parts.append(('predicted peak', memory.total + self.process))
        if self.measured:
            parts.append(('measured peak', self.measured))
        parts.append((f'this {where} has', self.available))
        lines += [f'{name:27}{size / GIB:9.2f} GiB' for name, size in parts]
        lines += [
            '',
            f'{"what fits":45}this batch  {self.unit} at most',
        ]
        for way in self.ways:
            lines.append(
                f'{way.name:45}{way.needed / GIB:6.2f} GiB  {way.fits:10d}'
            )
        return '\n'.join(lines)


def describe_size(size: BatchSize, unit: str) -> str:
    """Return the size of a batch in words."""
    *clip, height, width = size.shape
    frames = f'{clip[0] * clip[1]} frames of ' if clip else ''
    items = counted(size.images, unit.removesuffix('s'))
    objects = (
        f', {counted(size.objects, "object")} each' if size.objects else ''
    )
    return f'{items} of {frames}{height} x {width} pixels{objects}'


def make_plan(
    model: nn.Module,
    task: Task,
    size: BatchSize,
    device: str,
    state_per_byte: float,
    runs: bool,
    lists_ways: bool = True,
) -> Plan:
    """Predict the memory of a training, and measure it if it fits.

    Args:
        model: The model, on its device.
        task: Its task.
        size: Size of the largest batch.
        device: Device of the model.
        state_per_byte: See `predict`.
        runs: True to run forward and backward pass once, unless they would
            not fit.
        lists_ways: True to predict other ways to train even if this one fits.
    """
    free_memory()
    on_gpu = torch.device(device).type == 'cuda'
    weights = sum(
        tensor.numel() * tensor.element_size()
        for tensor in (*model.parameters(), *model.buffers())
    )
    process = 0 if on_gpu else max(status('VmRSS') - weights, 0)
    available = available_memory(device)

    def try_way(
        name: str, options: str, change: _Change | None, size: BatchSize
    ) -> Way:
        memory = predict(model, task, size, state_per_byte, change)
        more = size._replace(images=size.images + 1)
        larger = predict(model, task, more, state_per_byte, change)
        return make_way(
            name, options, memory, larger, size, process, available
        )

    ways = [try_way('as configured', '', None, size)]
    measured = None
    if runs and ways[0].needed <= available:
        network: Any = model
        was_training = network.training
        network.train()
        measured = measure(
            network,
            make_batch(task, size, device),
            ways[0].memory.optimizer,
            device,
        )
        network.train(was_training)
    needed = measured or ways[0].needed
    if lists_ways or needed > SAFE * available:
        ways += [
            try_way(name, options, change, size)
            for name, options, change in switches(model)
        ]
        smaller = size._replace(shape=smaller_shape(size.shape))
        height, width = smaller.shape[-2:]
        ways.append(
            try_way(f'at most {height} x {width} pixels', '', None, smaller)
        )
    return Plan(
        size, task.unit, available, process, ways, measured, str(device)
    )


def make_way(
    name: str,
    options: str,
    memory: StepMemory,
    larger: StepMemory,
    size: BatchSize,
    process: int,
    available: int,
) -> Way:
    """Return a way to train from two predictions.

    Args:
        name, options: See `Way`.
        memory: Memory of the batch of the config.
        larger: Memory of a batch with one image more.
        size: Size of the batch of the config.
        process: Bytes of the process besides the step.
        available: Bytes that a process may take.
    """
    per_image = max(larger.total - memory.total, 1)
    needed = memory.total + process
    room = SAFE * available - needed
    fits = max(size.images + math.floor(room / per_image), 0)
    return Way(name, options, memory, per_image, needed, fits)


def switches(
    model: nn.Module,
) -> Iterator[tuple[str, str, _Change]]:
    """Yield ways to save memory: name, settings, and a function for a model.

    Only those that the model has, and that are off.
    """
    stages = [m for m in model.modules() if isinstance(m, SwinStage)]
    if stages and not all(stage.with_cp for stage in stages):
        option = 'model.backbone.with_cp=True'
        yield 'activation checkpointing (with_cp)', option, _checkpoint
    attentions = [
        m for m in model.modules() if isinstance(m, WindowAttentionBase)
    ]
    if attentions and not any(
        m.sequential or m.attn_drop.p for m in attentions
    ):
        option = 'model.backbone.sequential_attention=True'
        yield 'sequential attention', option, _attend_in_sequence
        if stages and not all(stage.with_cp for stage in stages):
            yield (
                'both',
                f'model.backbone.with_cp=True {option}',
                _do_both,
            )


def _checkpoint(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, SwinStage):
            module.with_cp = True


def _attend_in_sequence(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, WindowAttentionBase):
            module.sequential = True


def _do_both(model: nn.Module) -> None:
    _checkpoint(model)
    _attend_in_sequence(model)


def smaller_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return three quarters of a height and width, in multiples of 32."""
    *clip, height, width = shape
    sides = [
        max(32, round(side * _SMALLER / 32) * 32) for side in (height, width)
    ]
    return (*clip, *sides)


def state_per_byte(optimizer: Any) -> float:
    """Return the bytes of an optimizer's state per byte of parameters.

    Args:
        optimizer: Settings of an optimizer.
    """
    from mmengine.registry import OPTIMIZERS

    weight = nn.Parameter(torch.zeros(64, 64))
    # A step on a CPU: fused and capturable are for GPUs, or save no memory.
    settings = {k: v for k, v in optimizer.items() if k != 'capturable'}
    built = OPTIMIZERS.build(dict(settings, params=[weight]))
    weight.grad = torch.zeros_like(weight)
    built.step()
    held = sum(
        value.numel() * value.element_size()
        for value in built.state[weight].values()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )
    return held / (weight.numel() * weight.element_size())


def available_memory(device: str) -> int:
    """Return the bytes that this process may take in all on a device.

    On a CPU the limits of a container and of the process count, too.
    """
    if torch.device(device).type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    free = min(_free_bytes())
    return status('VmRSS') + free // int(os.environ.get('LOCAL_WORLD_SIZE', 1))


def _free_bytes() -> Iterable[int]:
    """Yield what each limit leaves to this process, in bytes."""
    info = Path('/proc/meminfo').read_text()
    free = re.search(r'MemAvailable:\s+(\d+) kB', info)
    if free:
        yield int(free[1]) * 1024
    pairs = (
        ('memory.max', 'memory.current'),
        ('memory/memory.limit_in_bytes', 'memory/memory.usage_in_bytes'),
    )
    for limit, usage in pairs:
        folder = Path('/sys/fs/cgroup')
        try:
            most = int((folder / limit).read_text())
            yield most - int((folder / usage).read_text())
        except (OSError, ValueError):  # no container, or no limit
            continue
    if os.name == 'posix':
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            yield most - status('VmSize')
