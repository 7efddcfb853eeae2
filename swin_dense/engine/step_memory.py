"""Memory of a training step: predicted without a run, and measured.

A prediction runs forward and backward pass on tensors that have shapes and no
memory (PyTorch's fake tensors), and adds up the storages that are alive at
each operation. So it knows what autograd keeps, and the operation at which the
sum is largest. Small tensors, such as indices of windows and boxes of objects,
are real.
"""

import warnings
import weakref
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from swin_dense.engine.process_memory import free_memory, reset_peak, status
from swin_dense.engine.tasks import Task
from swin_dense.engine.worst_batch import (
    Batch,
    BatchSize,
    make_batch,
    worst_boxes,
)

_ATEN = torch.ops.aten
_INDEXING = (
    _ATEN.index.Tensor,
    _ATEN.index_put.default,
    _ATEN.index_put_.default,
    _ATEN._index_put_impl_.default,
)
_UNPREDICTABLE = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)
_CONVOLUTIONS = (
    _ATEN.convolution.default,
    _ATEN.convolution_backward.default,
)


class StepMemory(NamedTuple):
    """Memory that a training step is predicted to need, in bytes.

    Attributes:
        weights: Parameters and buffers.
        gradients: Gradients of the parameters.
        optimizer: State of the optimizer, after its first step.
        activations: What the forward pass keeps for the backward pass.
        work: What the largest operation needs besides all of these.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    work: int

    @property
    def total(self) -> int:
        """The largest sum at any time of the step."""
        return sum(self)


class _Sum(TorchDispatchMode):
    """Adds up the storages that are alive, and notes their largest sum.

    The numbers of fake tensors are unknown. Where they decide a shape, it is
    taken as large as it can be.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[int, int] = {}
        self.live = 0
        self.peak = 0

    def add(self, tensor: Tensor) -> None:
        """Count a storage, until it is freed."""
        storage: Any = tensor
        key, size = id(tensor), tensor.numel() * tensor.element_size()
        # Weights in oneDNN's own layout have no storage that can be seen.
        if not tensor.is_mkldnn:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
        if key in self._sizes:
            return
        self._sizes[key] = size
        self.live += self._sizes[key]
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.live -= self._sizes.pop(key)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if _is_unknown((args, kwargs)):
            args, known = _bounded(func, args)
            if known is not None:
                if isinstance(known, Tensor):
                    self.add(known)
                return known
        out = func(*args, **kwargs)
        for value in tree_iter(out):
            if isinstance(value, Tensor):
                self.add(value)
        if func in _CONVOLUTIONS:
            self._add_reordered(args, out)
        return out

    def _add_reordered(self, args: Any, out: Any) -> None:
        """Count the copies that oneDNN makes of maps, in its own layout."""
        copies = sum(
            value.numel() * value.element_size()
            for value in tree_iter((args, out))
            if isinstance(value, Tensor) and value.device.type == 'cpu'
        )
        self.peak = max(self.peak, self.live + copies)


def _is_unknown(values: Any) -> bool:
    return any(isinstance(value, FakeTensor) for value in tree_iter(values))


def _bounded(func: Any, args: Any) -> tuple[Any, Any]:
    """Return arguments and, if numbers decide the result, a bound of it."""
    if func == _ATEN.nonzero.default:
        return args, args[0].new_empty(
            args[0].numel(), args[0].dim(), dtype=torch.int64
        )
    if func == _ATEN._local_scalar_dense.default:
        return args, torch.ones((), dtype=args[0].dtype).item()
    if func == _ATEN.bincount.default:
        # as many of each, such as tokens of each expert
        return args, _shared_out(len(args[0]), (*args, None, 1)[2])
    if func == _ATEN.equal.default:
        return args, True
    if func == _ATEN.masked_select.default:
        return args, args[0].new_empty(args[1].numel())
    if str(func) == 'mkldnn._reorder_linear_weight.default':
        return args, torch.empty_like(args[0])
    if str(func) == 'mkldnn._linear_pointwise.default':
        x, weight = args[:2]
        return args, x.new_empty(*x.shape[:-1], len(weight))
    if func in _INDEXING:
        indices = [i for index in args[1] for i in _positions(index)]
        return (args[0], indices, *args[2:]), None
    return args, None


def _shared_out(count: int, parts: int) -> Tensor:
    """Return whole numbers `(parts, )` that add up to a count."""
    ends = torch.arange(max(parts, 1) + 1) * count // max(parts, 1)
    return ends.diff()


def _positions(index: Tensor | None) -> list[Tensor | None]:
    """Return the indices that a mask stands for, at most."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    if isinstance(index, FakeTensor):
        count = index.numel()
        return [index.new_empty(count, dtype=torch.int64)] * index.dim()
    return [*index.nonzero(as_tuple=True)]


class _Readable(TorchFunctionMode):
    """Lets code read fake tensors as arrays: their numbers are 0."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        readers = (Tensor.numpy, Tensor.__array__)
        if func in readers and isinstance(args[0], FakeTensor):
            name = str(args[0].dtype).removeprefix('torch.')
            return np.zeros(args[0].shape, name)
        return func(*args, **(kwargs or {}))


def predict(
    model: nn.Module,
    task: Task,
    size: BatchSize,
    state_per_byte: float = 2.0,
    change: Callable[[nn.Module], None] | None = None,
) -> StepMemory:
    """Predict the memory of a training step, without computing anything.

    Args:
        model: The model, on the CPU; it is not changed.
        task: Its task.
        size: Size of the batch.
        state_per_byte: Bytes of the optimizer's state per byte of parameters
            that are trained.
        change: Function that changes the copy of the model that is run.

    Raises:
        ValueError: If the numbers in tensors decide their sizes in a way that
            is not bounded here, or the model does not run without numbers.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    model = _without_memory(model, mode).train()
    if change:
        change(model)
    parameters = [*model.parameters()]
    batch = make_batch(task, size)
    batch = batch._replace(inputs=mode.from_tensor(batch.inputs))
    memory = _Sum()
    for tensor in (*parameters, *model.buffers()):
        memory.add(tensor)
    weights = memory.live
    memory.add(batch.inputs)
    with (
        warnings.catch_warnings(),
        worst_boxes(model, batch),
        _Readable(),
        memory,
    ):
        # Addresses, which tell packed weights apart, are all 0 here.
        warnings.filterwarnings('ignore', 'Accessing the data pointer of')
        try:
            loss = total_loss(model, batch)
            activations = memory.live - weights
            loss.backward()
        except _UNPREDICTABLE as error:
            raise ValueError(
                'the memory of this model cannot be predicted: numbers '
                f'decide how much it computes ({error})'
            ) from error
        except RuntimeError as error:
            raise ValueError(
                'the memory of this model cannot be predicted: it does not '
                'run on tensors of this size that have a shape alone '
                f'({error})'
            ) from error
    del loss
    trained = sum(_bytes(p) for p in parameters if p.grad is not None)
    masks = _mask_bytes(batch)
    return StepMemory(
        weights,
        trained,
        int(trained * state_per_byte),
        activations + masks,
        max(memory.peak - weights - activations - trained, 0),
    )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _mask_bytes(batch: Batch) -> int:
    """Return the memory of the masks of objects, which are arrays."""
    return sum(
        sample.gt_instances.masks.masks.nbytes
        for sample in batch.samples
        if hasattr(sample, 'gt_instances')
    )


def _without_memory(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Return a copy of a model whose parameters are fake."""
    fakes: dict[int, Any] = {
        id(parameter): nn.Parameter(
            mode.from_tensor(parameter.detach()), parameter.requires_grad
        )
        for parameter in model.parameters()
    }
    return deepcopy(model, fakes)


def total_loss(model: Any, batch: Batch) -> Tensor:
    """Return the loss that training minimises."""
    losses = model(batch.inputs, batch.samples, mode='loss')
    return model.parse_losses(losses)[0]


def measure(
    model: nn.Module, batch: Batch, reserve: int, device: str = 'cpu'
) -> int:
    """Run forward and backward pass once; return the peak of memory in bytes.

    On a CPU that is resident memory of the process (Linux only), on a GPU
    what the allocator has given out. Weights, statistics and random numbers
    are as before afterwards.

    Args:
        model: The model, in training mode.
        batch: The batch to run it on.
        reserve: Bytes that are taken meanwhile, for the optimizer's state.
        device: Device of the model.

    Raises:
        OSError: If the system does not report the memory.
        torch.OutOfMemoryError: If it does not fit on a GPU.
        RuntimeError: If it does not fit on a CPU.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    is_gpu = torch.device(device).type == 'cuda'
    gpus = [torch.device(device)] if is_gpu else []
    with torch.random.fork_rng(gpus):
        free_memory()
        if is_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        else:
            reset_peak()
        try:
            # ones, since pages of zeros take no memory
            taken = torch.ones(reserve, dtype=torch.uint8, device=device)
            with worst_boxes(model, batch):
                total_loss(model, batch).backward()
            del taken
            if is_gpu:
                return torch.cuda.max_memory_allocated(device)
            return status('VmHWM')
        finally:
            model.zero_grad(set_to_none=True)
            with torch.no_grad():
                for buffer, value in zip(model.buffers(), buffers):
                    buffer.copy_(value)
            free_memory()
