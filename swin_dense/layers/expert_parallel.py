"""Experts that are spread over processes.

Each process holds some of the experts of each layer. Tokens are sent to the
process of their expert, and the results are sent back (all-to-all).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from swin_dense.layers.experts import Exchange, Experts


class ProcessExchange(Exchange):
    """Send tokens to the processes that hold their experts, and back.

    Args:
        num_experts: Number of experts E of a layer, in all processes.
        group: Group of processes; None for all.

    Attributes:
        rows: Experts of this process, as a slice of all.

    Raises:
        ValueError: If the experts cannot be spread evenly.
    """

    def __init__(self, num_experts: int, group: Any = None) -> None:
        self.group = group
        self.size = dist.get_world_size(group)
        if num_experts % self.size:
            raise ValueError(
                f'{num_experts} experts cannot be spread evenly over '
                f'{self.size} processes: num_experts must be a multiple of '
                'the number of processes'
            )
        self.count = num_experts // self.size
        first = dist.get_rank(group) * self.count
        self.rows = slice(first, first + self.count)

    def run(self, experts: Experts, x: Tensor, counts: list[int]) -> Tensor:
        """Run tokens `(n, C)`, in the order of their experts.

        Args:
            experts: Experts of this process.
            x: Tokens of this process.
            counts: Number of tokens for each expert of all processes.
        """
        sent = torch.tensor(counts, device=x.device)  # (E, )
        received = torch.empty_like(sent)  # (E, )
        dist.all_to_all_single(received, sent, group=self.group)
        sent = sent.view(self.size, self.count)  # (processes, experts)
        received = received.view_as(sent)  # (processes, experts of this one)
        sizes_out = sent.sum(1).tolist()
        sizes_in = received.sum(1).tolist()
        x = _Exchange.apply(x, sizes_out, sizes_in, self.group)
        # Sorted by process, then by expert. Each expert runs once.
        numbers = torch.arange(self.count, device=x.device)
        numbers = numbers.repeat(self.size)  # (processes * experts, )
        numbers = numbers.repeat_interleave(received.flatten())  # (n, )
        order = numbers.argsort(stable=True)
        x = experts.run(x[order], received.sum(0).tolist())
        x = x[order.argsort()]
        return _Exchange.apply(x, sizes_in, sizes_out, self.group)

    def gather(self, value: Tensor) -> Tensor | None:
        """Return the values of all processes in the first one, else None.

        Args:
            value: Parameter, or its optimizer state, of the experts of this
                process, `(E / processes, ...)`.
        """
        is_first = dist.get_rank(self.group) == 0
        value = value.detach().contiguous()
        parts = None
        if is_first:
            parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.gather(value, parts, group=self.group, group_dst=0)
        return None if parts is None else torch.cat(parts)  # (E, ...)


class _Exchange(torch.autograd.Function):
    """All-to-all of rows; gradients take the way back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, sizes_out: list, sizes_in: list, group: Any
    ) -> Tensor:
        ctx.settings = sizes_out, sizes_in, group
        out = x.new_empty(sum(sizes_in), *x.shape[1:])
        dist.all_to_all_single(
            out, x.contiguous(), sizes_in, sizes_out, group=group
        )
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        sizes_out, sizes_in, group = ctx.settings
        return _Exchange.apply(grad, sizes_in, sizes_out, group), *[None] * 3


def split_experts(model: nn.Module, group: Any = None) -> None:
    """Spread the experts of a model over processes, in place.

    Call this before the optimizer and `DistributedDataParallel` get the model.
    All processes must have equal weights. A process keeps its experts; DDP
    leaves them alone, and their gradients are divided by the number of
    processes, as DDP divides those of other parameters. Loading slices the
    experts of a checkpoint; `gathered_experts` makes complete state_dicts.

    All processes must run the same number of forward and backward passes.
    Gradients must not be clipped by the norm of one process, since the norms
    of processes differ.

    Args:
        model: Model that contains a `SwinMoE`.
        group: Group of processes; None for all.

    Raises:
        ValueError: If the model has no experts, or they cannot be spread
            evenly.
    """
    ignored = []
    for path, module in model.named_modules():
        if not isinstance(module, Experts):
            continue
        exchange = ProcessExchange(module.num_experts, group)
        module.exchange = exchange
        for name, value in list(module.named_parameters(recurse=False)):
            part = nn.Parameter(
                value.detach()[exchange.rows].clone(), value.requires_grad
            )
            if part.requires_grad:
                part.register_hook(partial(_divided, exchange.size))
            setattr(module, name, part)
            ignored.append(f'{path}.{name}')
    if not ignored:
        raise ValueError(
            f'{type(model).__name__} has no experts to spread over processes'
        )
    parallel = nn.parallel.DistributedDataParallel
    parallel._set_params_and_buffers_to_ignore_for_model(model, ignored)


def _divided(size: int, grad: Tensor) -> Tensor:
    """Return a gradient divided by the number of processes."""
    return grad / size


@contextmanager
def gathered_experts(model: nn.Module) -> Iterator[None]:
    """Let the state_dict of the first process have all experts, in a block.

    All processes have to enter the block. In the others, the state_dict goes
    on to have the experts of the process.

    Args:
        model: Model whose experts may be spread over processes.
    """
    split = [
        (module, module.exchange)
        for module in model.modules()
        if isinstance(module, Experts) and module.exchange is not None
    ]
    try:
        for module, exchange in split:
            gathered = {
                name: exchange.gather(value)
                for name, value in module.named_parameters(recurse=False)
            }
            module.gathered = {
                name: value
                for name, value in gathered.items()
                if value is not None
            }
        yield
    finally:
        for module, _ in split:
            module.gathered = {}
