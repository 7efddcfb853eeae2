"""Kernels for NVIDIA GPUs in Triton, which is imported when they are used."""

import os
from functools import lru_cache
from importlib.util import find_spec
from math import prod

import torch
from torch import Tensor

from swin_dense.kernels.cuda import CUDAKernels
from swin_dense.kernels.interface import AttentionTerms
from swin_dense.kernels.log import log_once
from swin_dense.ops import WindowLayout, is_traced

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Compute capability of the GPU.
CAPABILITY = (8, 0)
# Heads and windows are in registers as a whole. Of larger ones programs spill
# (see `tests/test_kernels/test_triton_compiles.py`), and PyTorch's own kernel,
# which goes through a window in pieces, is the better one.
MAX_HEAD_DIM = 64
MAX_TOKENS = 512


class TritonKernels(CUDAKernels):
    """Attention that reads windows from the map by coordinates."""

    name = 'triton'
    device = 'cuda'
    can_be_compiled = True

    @classmethod
    def refuses(cls, x: Tensor) -> str | None:
        """Return why Triton cannot work on this tensor, or None."""
        device = x.device.type
        if device not in ('cuda', 'meta') and not is_interpreted():
            return (
                f'the tensor is on {device}, where Triton only works in its '
                'interpreter (TRITON_INTERPRET=1)'
            )
        if x.dtype not in DTYPES:
            return f'{x.dtype} is not a type of its operator'
        return why_unusable(x.device.type, x.device.index)

    def window_attention(
        self, qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
    ) -> Tensor:
        """Attend in one operator if it takes the sizes."""
        reason = _refuses_sizes(qkv, layout, terms)
        if reason:
            if not is_traced():
                log_once(f'kernels: attention without Triton: {reason}')
            return super().window_attention(qkv, layout, terms)
        from swin_dense.kernels.triton.operator import attend

        return attend(qkv, layout, terms)


def is_interpreted() -> bool:
    """Return True if Triton runs programs as Python, on any device."""
    return os.environ.get('TRITON_INTERPRET') == '1'


@lru_cache(maxsize=16)
def why_unusable(device: str, index: int | None) -> str | None:
    """Return why Triton runs nothing on a device, or None.

    Triton needs a C compiler and a driver that it supports. So a small program
    is run once, as a test.
    """
    if find_spec('triton') is None:
        return 'Triton is not installed (pip install triton)'
    try:
        from swin_dense.kernels.triton.operator import IS_COMPILED, copy
    except Exception as error:  # whatever a broken installation raises
        return f'Triton does not import ({error!r})'
    if device == 'meta':
        return None
    if device == 'cuda' and IS_COMPILED:
        if torch.version.hip:
            return 'its programs are made for CUDA'
        capability = torch.cuda.get_device_capability(index)
        if capability < CAPABILITY:
            return (
                f'compute capability {CAPABILITY[0]}.{CAPABILITY[1]} is '
                f'needed, that of the GPU is {capability[0]}.{capability[1]}'
            )
    elif IS_COMPILED:
        return 'TRITON_INTERPRET=1 must be set before Triton is imported'
    try:
        copy(torch.zeros(2, device=f'{device}:{index or 0}'))
    except Exception as error:  # of a compiler, a driver, or of Triton
        import numpy
        import triton

        where = f' in its interpreter with NumPy {numpy.__version__}'
        where *= not IS_COMPILED
        return (
            f'Triton {triton.__version__} cannot run a program{where} '
            f'({error!r})'
        )
    return None


def _refuses_sizes(
    qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
) -> str | None:
    """Return why the operator does not take this attention, or None."""
    from swin_dense.kernels.triton.operator import choose_num_stages

    tokens = prod(layout.window)
    head_dim = qkv.shape[-1] // (3 * len(terms.bias))
    if terms.dropout:
        return 'attention weights are dropped'
    if qkv.dtype not in DTYPES:
        return f'it has no {qkv.dtype}'
    if layout.shifts_by != 'roll' or len(layout.grid) > 3:
        return 'windows do not shift by rolling along three axes or fewer'
    if layout.mask_shift not in (None, layout.shift):
        return 'masks are those of another shift'
    if tokens > MAX_TOKENS:
        return f'windows of {tokens} tokens are above {MAX_TOKENS}'
    if head_dim > MAX_HEAD_DIM:
        return f'heads of {head_dim} channels are above {MAX_HEAD_DIM}'
    if not choose_num_stages(qkv.device, tokens, head_dim, qkv.element_size()):
        return (
            f'windows of {tokens} tokens in {qkv.dtype} do not fit the shared '
            'memory of the GPU'
        )
    if prod(qkv.shape[1:]) >= 2**31:
        return 'a map has 2**31 queries, keys and values or more'
    return None


KERNELS = TritonKernels
