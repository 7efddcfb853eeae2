"""A whole block without gradients: all but two maps stay in the cache."""
import torch
from torch import Tensor

from swin_dense.kernels.cpu.chunks import iter_chunks
from swin_dense.kernels.cpu.window_index import WindowIndex
from swin_dense.kernels.interface import Block, Kernels
from swin_dense.ops import WindowMask
from swin_dense.ops.grid import Grid


def run_block(block: Block, x: Tensor, window: Grid, index: WindowIndex,
              mask: WindowMask | None, kernels: Kernels) -> Tensor:
    """Run a block on maps.

    Args:
        block: The block, in evaluation mode.
        x: Maps `(B, *grid, C)`.
        window: Window that is in use.
        index: Where the tokens go, in chunks.
        mask: What is hidden.
        kernels: What the mixer computes with.

    Returns:
        Maps `(B, *grid, C)`.
    """
    mixer, mlp = block.mixer, block.mlp
    shared = mixer.prepare(window, kernels.cache)
    tokens = x.reshape(-1, x.shape[-1])  # (B * H * W, C)
    size = torch.Size(window).numel()
    slots = sum(len(chunk.token_of_slot) for chunk in index.chunks)
    windows = x.new_empty(slots // size, size, x.shape[-1])
    for chunk in index.chunks:
        rows = tokens.index_select(0, chunk.token_of_slot)  # (n * N, C)
        if not block.post_norm:
            rows = block.norm1(rows)
        chunk.fill(rows)  # padding comes after the norm
        windows[chunk.rows] = mixer.mix(
            rows.view(-1, size, x.shape[-1]), shared, chunk.mask(mask),
            kernels)
    windows = windows.flatten(0, 1)  # (B * K * N, C)
    out = torch.empty_like(tokens)
    for part in iter_chunks(tokens, mlp.elements_per_token):
        rows = windows.index_select(0, index.slot_of_token[part])
        if block.post_norm:
            rows = block.norm1(rows)
        rows += tokens[part]
        if block.post_norm:
            branch = block.norm2(mlp(rows, kernels))
        else:
            branch = mlp(block.norm2(rows), kernels)
        torch.add(rows, branch, out=out[part])
        if block.norm3 is not None:
            out[part] = block.norm3(out[part])
    return out.view_as(x)
