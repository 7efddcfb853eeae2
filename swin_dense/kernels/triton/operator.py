"""`swin_dense::window_attention`, an operator of PyTorch in Triton.

It has a fake for compilers and its gradients, so it works under
`torch.compile`, autocast and activation checkpointing.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from math import prod
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from swin_dense.kernels.interface import AttentionTerms
from swin_dense.kernels.triton import programs
from swin_dense.ops import WindowLayout

# False if TRITON_INTERPRET=1 was set before Triton was imported. Programs then
# run in NumPy on any device, slowly.
IS_COMPILED = isinstance(programs.forward, triton.JITFunction)
# Elements of a tile of weights. A program of the backward pass keeps four
# tiles in registers; tiles of twice the size would spill.
TILE = 64 * 64
# Programs per multiprocessor.
PROGRAMS = 4
NUM_WARPS = 8
# Bytes of shared memory that a program may use on an H100; used if there is no
# such device.
SHARED_MEMORY = 227 * 2**10


class LaunchPlan(NamedTuple):
    """How the programs of an operator are launched.

    Attributes:
        windows: Windows of all maps.
        heads: Attention heads.
        blocks: Blocks of queries, or keys, of a window.
        groups: Programs per head and block, which share the windows.
        small_block: Slots of a block.
        whole_block: Slots of all tokens of a window.
        arguments: Numbers, in the order of the programs' parameters.
        constants: What programs are compiled for.
    """

    windows: int
    heads: int
    blocks: int
    groups: int
    small_block: int
    whole_block: int
    arguments: tuple
    constants: dict[str, Any]


def copy(x: Tensor) -> Tensor:
    """Copy a vector, to test whether Triton runs loops over program indices.

    With NumPy 2.4 and newer, the interpreter of Triton 3.6 and older fails.
    """
    out = torch.empty_like(x)
    with _current_device(x):
        programs.copy[(1,)](x, out, len(x))
    return out


def _current_device(x: Tensor) -> AbstractContextManager:
    """Launch programs on the GPU of a tensor, which Triton does not look at.

    Triton launches on the current GPU.
    """
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def _block(size: int) -> int:
    """Return the next power of 2; a product takes 16 rows or more."""
    return max(16, triton.next_power_of_2(size))


def _blocks(tokens: int) -> tuple[int, int]:
    """Return the slots of a block, and of all tokens of a window."""
    whole = _block(tokens)
    return min(whole, max(16, TILE // whole)), whole


def _allows_tf32() -> bool:
    """Return True if products of float32 may be rounded to TF32."""
    matmul = torch.backends.cuda.matmul
    # Where the newer switch was set, reading the older one is an error.
    precision = getattr(matmul, 'fp32_precision', None)
    return matmul.allow_tf32 if precision is None else precision == 'tf32'


@lru_cache(maxsize=8)
def _device_limits(device: torch.device) -> tuple[int, int]:
    """Return multiprocessors, and bytes of shared memory of a program."""
    if device.type != 'cuda':
        return 1, SHARED_MEMORY
    index = (
        torch.cuda.current_device() if device.index is None else device.index
    )
    properties = triton.runtime.driver.active.utils.get_device_properties(
        index
    )
    return properties['multiprocessor_count'], properties['max_shared_mem']


def shared_memory(
    tokens: int, head_dim: int, element_size: int, num_stages: int
) -> int:
    """Return the most bytes of shared memory that a program needs.

    Args:
        tokens: Tokens N of a window.
        head_dim: Channels D of a head.
        element_size: Bytes of an element of queries, keys and values.
        num_stages: Number of windows that are read ahead, plus one.
    """
    small, whole = _blocks(tokens)
    channels = _block(head_dim)
    # Queries, keys, values and gradients; 16 bits leave half in registers.
    maps = 4 if element_size > 2 or num_stages > 1 else 2
    elements = maps * whole * channels + 2 * small * whole
    if num_stages > 1:
        elements += 8 * small * channels
    return elements * element_size + 18 * 2**10


def choose_num_stages(
    device: torch.device, tokens: int, head_dim: int, element_size: int
) -> int:
    """Return the number of stages, 0 if the programs do not fit."""
    limit = _device_limits(device)[1]
    # Two stages of larger windows would spill.
    for stages in (2, 1) if tokens <= 256 else (1,):
        if shared_memory(tokens, head_dim, element_size, stages) <= limit:
            return stages
    return 0


# A compiler takes the number as it is, since it cannot trace the driver; as
# `torch.compiler.assume_constant_result` does, which imports the compiler.
choose_num_stages._dynamo_marked_constant = True  # type: ignore


def make_plan(
    qkv: Tensor,
    bias: Tensor,
    padding: Tensor | None,
    cosine: Tensor | None,
    window: list[int],
    shift: list[int],
    scale: float,
    excluded: float,
    mask_padding: bool,
) -> LaunchPlan:
    """Plan the launches; see `window_attention` for the arguments."""
    batch, *grid, channels = qkv.shape
    heads, head_dim = len(bias), channels // (3 * len(bias))
    missing = 3 - len(grid)
    grid, window = [1] * missing + grid, [1] * missing + list(window)
    shift = [0] * missing + list(shift)
    tokens = prod(window)
    windows = batch * prod(-(-g // w) for g, w in zip(grid, window))
    padded = any(g % w for g, w in zip(grid, window))
    small, whole = _blocks(tokens)
    blocks = -(-tokens // small)
    programs_wanted = PROGRAMS * _device_limits(qkv.device)[0]
    groups = max(1, min(windows, -(-programs_wanted // (heads * blocks))))
    exact = qkv.dtype == torch.float32 and not _allows_tf32()
    constants = dict(
        D=head_dim,
        WT=window[0],
        WH=window[1],
        WW=window[2],
        PAD=padding is not None and padded and not mask_padding,
        MASK_PADDING=mask_padding and padded,
        COS=cosine is not None,
        PRECISION='ieee' if exact else 'tf32',
        BLOCK_D=_block(head_dim),
        num_warps=NUM_WARPS,
        num_stages=choose_num_stages(
            qkv.device, tokens, head_dim, qkv.element_size()
        ),
    )
    arguments = (windows, *grid, *shift, scale, excluded, heads)
    return LaunchPlan(
        windows, heads, blocks, groups, small, whole, arguments, constants
    )


@torch.library.custom_op('swin_dense::window_attention', mutates_args=())
def window_attention(
    qkv: Tensor,
    bias: Tensor,
    padding: Tensor | None,
    cosine: Tensor | None,
    window: list[int],
    shift: list[int],
    scale: float,
    excluded: float,
    mask_padding: bool,
) -> Tensor:
    """Attend within the windows of maps.

    Args:
        qkv: Queries, keys and values `(B, *grid, 3 * C)` of up to three axes.
        bias: Position bias `(heads, N, N)`.
        padding: Queries, keys and values of a token of padding, `(3 * C, )`;
            None for zeros.
        cosine: Factor of the cosines, `(heads, )`; None for dot products.
        window: Tokens per axis.
        shift: Shift per axis, by rolling.
        scale: Factor of dot products; unused with `cosine`.
        excluded: Added to the logit of a hidden key.
        mask_padding: If true, padding is hidden.

    Returns:
        Maps `(B, *grid, C)`.
    """
    qkv, bias, padding, cosine = _contiguous(qkv, bias, padding, cosine)
    plan = make_plan(
        qkv,
        bias,
        padding,
        cosine,
        window,
        shift,
        scale,
        excluded,
        mask_padding,
    )
    out = qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)
    with _current_device(qkv):
        programs.forward[plan.heads, plan.blocks, plan.groups](
            qkv,
            padding,
            bias,
            cosine,
            out,
            *plan.arguments,
            **plan.constants,
            BLOCK_Q=plan.small_block,
            BLOCK_K=plan.whole_block,
        )
    return out


def _contiguous(*tensors: Any) -> tuple:
    """Return tensors as programs read them: a compiler may choose strides."""
    return tuple(x if x is None else x.contiguous() for x in tensors)


@window_attention.register_fake
def _(qkv: Tensor, *others: Any) -> Tensor:
    return qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)


@torch.library.custom_op(
    'swin_dense::window_attention_backward', mutates_args=()
)
def window_attention_backward(
    grad: Tensor,
    qkv: Tensor,
    bias: Tensor,
    padding: Tensor | None,
    cosine: Tensor | None,
    window: list[int],
    shift: list[int],
    scale: float,
    excluded: float,
    mask_padding: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of `qkv`, `bias`, `padding` and `cosine`.

    The last two are float32, and are zeros where the input is None.
    """
    grad, qkv, bias, padding, cosine = _contiguous(
        grad, qkv, bias, padding, cosine
    )
    plan = make_plan(
        qkv,
        bias,
        padding,
        cosine,
        window,
        shift,
        scale,
        excluded,
        mask_padding,
    )
    heads, blocks, groups = plan.heads, plan.blocks, plan.groups
    new = partial(torch.zeros, dtype=torch.float32, device=qkv.device)
    dqkv = torch.empty_like(qkv)
    # A row for each program, which adds up gradients of all its windows.
    dbias = torch.empty(
        groups, *bias.shape, dtype=torch.float32, device=qkv.device
    )
    dpadding = new(groups * blocks, qkv.shape[-1])
    dcosine = new(groups, heads, blocks)
    rows = plan.windows if blocks > 1 else 0
    lse = dbias.new_empty(rows, heads, bias.shape[-1])
    delta = torch.empty_like(lse)

    def launch(block_q: int, block_k: int, queries: bool, keys: bool) -> None:
        programs.backward[heads, blocks, groups](
            qkv,
            padding,
            bias,
            cosine,
            grad,
            dqkv,
            dpadding,
            dbias,
            dcosine,
            lse,
            delta,
            *plan.arguments,
            **plan.constants,
            BLOCK_Q=block_q,
            BLOCK_K=block_k,
            QUERIES=queries,
            KEYS=keys,
        )

    with _current_device(qkv):
        launch(plan.small_block, plan.whole_block, True, blocks == 1)
        if blocks > 1:
            launch(plan.whole_block, plan.small_block, False, True)
    return (
        dqkv,
        dbias.sum(0).to(bias.dtype),
        dpadding.sum(0),
        dcosine.sum((0, 2)),
    )


@window_attention_backward.register_fake
def _(
    grad: Tensor, qkv: Tensor, bias: Tensor, *others: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        qkv.new_empty(qkv.shape),
        bias.new_empty(bias.shape),
        qkv.new_empty(qkv.shape[-1], dtype=torch.float32),
        qkv.new_empty(len(bias), dtype=torch.float32),
    )


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.settings = inputs[4:]


def _gradients(ctx: Any, grad: Tensor) -> tuple:
    qkv, bias, padding, cosine = ctx.saved_tensors
    dqkv, dbias, dpadding, dcosine = window_attention_backward(
        grad, qkv, bias, padding, cosine, *ctx.settings
    )
    return (
        dqkv,
        dbias,
        None if padding is None else dpadding.to(padding.dtype),
        None if cosine is None else dcosine.to(cosine.dtype),
        *[None] * len(ctx.settings),
    )


window_attention.register_autograd(_gradients, setup_context=_save)


def attend(qkv: Tensor, layout: WindowLayout, terms: AttentionTerms) -> Tensor:
    """Call the operator; see `Kernels.window_attention`."""
    cosine = terms.cosine
    return window_attention(
        qkv.contiguous(),
        terms.bias.contiguous(),
        terms.padding,
        None if cosine is None else cosine.flatten(),  # (heads, )
        list(layout.window),
        list(layout.shift),
        terms.scale,
        layout.mask_value or 0.0,
        layout.mask_padding and layout.mask_value is not None,
    )
