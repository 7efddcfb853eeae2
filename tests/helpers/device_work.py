"""Count the work of a GPU on tensors without memory.

`emulated_autocast` does to tensors on `meta` what CUDA's autocast does to
those on a GPU, and calls its memory-efficient attention; `DeviceWork` counts.
"""

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# These return parts of what is there, or launch nothing.
VIEWS = set(
    '_unsafe_view alias as_strided detach expand new_empty empty empty_like '
    'empty_strided permute select slice split split_with_sizes squeeze t '
    'transpose unbind unsqueeze view reshape _reshape_alias unfold '
    'new_empty_strided lift_fresh'.split()
)
SYNCHRONISES = {'_local_scalar_dense', 'nonzero', 'equal', 'is_nonzero'}


class emulated_autocast(TorchFunctionMode):
    """Casts as CUDA's autocast does, weights once."""

    NARROW = (F.linear, torch.matmul, torch.Tensor.matmul, torch.addmm)
    WIDE = (F.layer_norm, torch.Tensor.softmax, F.softmax, torch.layer_norm)

    def __init__(self, dtype=torch.bfloat16):
        super().__init__()
        self.dtype, self.casts = dtype, {}

    def _narrow(self, x):
        if not torch.is_tensor(x) or x.dtype != torch.float32:
            return x
        if not (x.is_leaf and x.requires_grad):
            return x.to(self.dtype)
        # With the tensor, so that no other gets its id.
        return self.casts.setdefault(id(x), (x, x.to(self.dtype)))[1]

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in self.NARROW:
            args, kwargs = tree_map(self._narrow, (args, kwargs))
        elif function in self.WIDE:
            args, kwargs = tree_map(
                lambda x: x.float() if torch.is_tensor(x) else x,
                (args, kwargs),
            )
        elif function is F.scaled_dot_product_attention:
            query, key, value, bias = args
            # Else the kernel copies it, or refuses.
            assert all(s % 8 == 0 for s in bias.stride()[:-1]), bias.stride()
            assert bias.dtype == query.dtype and bias.stride(-1) == 1
            assert len(query) <= 65535
            attend = torch.ops.aten._scaled_dot_product_efficient_attention
            return attend(
                query, key, value, bias, torch.is_grad_enabled(), **kwargs
            )[0]
        return function(*args, **kwargs)


def _bytes(x):
    """Return the bytes of the elements in memory, each counted once."""
    elements = 1
    for size, stride in zip(x.shape, x.stride()):
        elements *= size if stride or size == 1 else 1
    return elements * x.element_size()


class DeviceWork(TorchDispatchMode):
    """Counts launches, bytes, N x N tensors, copies and waits.

    Attributes:
        launches: Operations that would start a kernel.
        bytes: Read and written by them.
        square_bytes: Those of tensors that hold a number for each pair of
            tokens of many windows.
        moved: Operations that move data between devices.
        waits: Operations whose result the CPU would wait for.
    """

    def __init__(self, tokens, windows):
        super().__init__()
        self.tokens, self.windows = tokens, windows
        self.launches = self.bytes = self.square_bytes = 0
        self.moved, self.waits = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        tensors = [
            x for x in tree_leaves((args, kwargs, out)) if torch.is_tensor(x)
        ]
        if len({x.device for x in tensors}) > 1:
            self.moved.append(name)
        if name in SYNCHRONISES:
            self.waits.append(name)
        if name in VIEWS:
            return out
        self.launches += 1
        for x in {id(x): x for x in tensors}.values():
            self.bytes += _bytes(x)
            if x.ndim > 2 and all(
                self.tokens <= size < self.tokens + 16 for size in x.shape[-2:]
            ):
                many = _bytes(x) > 8 * self.tokens**2 * self.windows // 4
                self.square_bytes += _bytes(x) * many
        return out
