"""A Swin block without gradients; all but two maps stay in the cache."""

import torch
from torch import Tensor

from swin_dense.kernels.cpu.chunks import cut_chunks
from swin_dense.kernels.cpu.linear_layers import compute_dtype, output_dtype
from swin_dense.kernels.cpu.threads import share_out
from swin_dense.kernels.interface import Block, Kernels
from swin_dense.kernels.window_index import WindowIndex
from swin_dense.ops import WindowMask
from swin_dense.ops.grid import Grid


def run_block(
    block: Block,
    x: Tensor,
    window: Grid,
    index: WindowIndex,
    mask: WindowMask | None,
    kernels: Kernels,
) -> Tensor:
    """Run a block on maps.

    Args:
        block: The block, in evaluation mode.
        x: Maps `(B, *grid, C)`.
        window: Window in use, in tokens per axis.
        index: Slots of the tokens, in chunks.
        mask: Mask of each window, or None.
        kernels: Kernels that the mixer computes with.

    Returns:
        Maps `(B, *grid, C)`.
    """
    mixer, mlp = block.mixer, block.mlp
    shared = mixer.prepare(window, kernels.cache)
    tokens = x.reshape(-1, x.shape[-1])  # (B * H * W, C)
    size = torch.Size(window).numel()
    slots = sum(len(chunk.token_of_slot) for chunk in index.chunks)
    dtype, out_dtype = compute_dtype(x), output_dtype(x)
    windows = x.new_empty(slots, x.shape[-1], dtype=out_dtype)

    def mix(worker: int, number: int) -> None:
        chunk = index.chunks[number]
        rows = tokens.index_select(0, chunk.token_of_slot).to(dtype)
        if not block.post_norm:
            rows = block.norm1(rows)
        chunk.fill(rows)  # padding is zero after the norm
        rows = rows.view(-1, size, x.shape[-1])  # (n, N, C)
        mixed = mixer.mix(rows, shared, chunk.mask(mask), kernels)
        start, stop = chunk.rows.start, chunk.rows.stop
        windows[start * size : stop * size] = mixed.flatten(0, 1)  # (n * N, C)

    out = torch.empty_like(tokens, dtype=out_dtype)
    parts = cut_chunks(len(tokens), mlp.elements_per_token, dtype)

    def feed_forward(worker: int, number: int) -> None:
        part = parts[number]
        rows = windows.index_select(0, index.slot_of_token[part]).to(dtype)
        if block.post_norm:
            rows = block.norm1(rows)
        rows += tokens[part]
        if block.post_norm:
            rows += block.norm2(mlp(rows, kernels))
        else:
            rows += mlp(block.norm2(rows), kernels)
        out[part] = rows if block.norm3 is None else block.norm3(rows)

    share_out(mix, len(index.chunks))
    share_out(feed_forward, len(parts))
    return out.view(x.shape)  # (B, *grid, C)
