"""CPU kernels: windows are read by index, in chunks that fit the cache."""

from math import prod

import torch
from torch import Tensor, nn

from swin_dense.kernels.cpu.attention import attend_in_chunks
from swin_dense.kernels.cpu.block import run_block
from swin_dense.kernels.cpu.chunks import cut_chunks, cut_large, num_chunks
from swin_dense.kernels.cpu.feed_forward import ChunkedGELUNetwork
from swin_dense.kernels.cpu.linear_layers import (
    compute_dtype,
    linear,
    pack_weights_once,
)
from swin_dense.kernels.interface import AttentionTerms, Block, MixFunction
from swin_dense.kernels.plain import PlainKernels, attend
from swin_dense.kernels.window_index import (
    WindowIndex,
    gather_windows,
    make_window_index,
    scatter_windows,
)
from swin_dense.ops import WindowLayout


class CPUKernels(PlainKernels):
    """Kernels that compute in chunks, which threads share."""

    name = 'cpu'
    device = 'cpu'
    can_be_compiled = False

    @classmethod
    def refuses(cls, x: Tensor) -> str | None:
        """Return why these kernels do not take `x`, or None if they do."""
        if x.device.type != 'cpu':
            return f'the tensor is on {x.device.type}'
        return None

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return `x @ weight.T + bias`."""
        return linear(x, weight, bias)

    def feed_forward(
        self, x: Tensor, fc1: nn.Linear, fc2: nn.Linear, approximate: str
    ) -> Tensor:
        """Run linear, GELU, linear. Only chunks of the hidden values exist."""
        grad = torch.is_grad_enabled()
        tokens = x.flatten(0, -2)  # (B * H * W, C)
        cut = cut_large if grad else cut_chunks
        chunks = cut(len(tokens), fc1.out_features, compute_dtype(x))
        out = ChunkedGELUNetwork.apply(
            tokens,
            fc1.weight,
            fc1.bias,
            fc2.weight,
            fc2.bias,
            approximate,
            chunks,
            grad,
        )
        return out.view_as(x)  # (B, H, W, C)

    def mix_windows(
        self, x: Tensor, layout: WindowLayout, mix: MixFunction
    ) -> Tensor:
        """Mix all windows at once. They are read by index."""
        index, size = self._index(x, layout), prod(layout.window)
        # (B * K, N, C)
        windows = gather_windows(x.flatten(0, -2), index, size)
        mask = index.chunks[0].mask(self._mask(x, layout, x.dtype))
        out = scatter_windows(mix(windows, mask), index)
        return out.view_as(x)  # (B, H, W, C)

    def window_attention(
        self, qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
    ) -> Tensor:
        """Attend chunk by chunk. Windows are read from the map by index."""
        # The backward pass computes chunks anew, with other dropout.
        if terms.dropout:
            return super().window_attention(qkv, layout, terms)
        mask = self._mask(qkv, layout, terms.bias.dtype)
        tokens = qkv.flatten(0, -2)  # (B * H * W, 3 * C)
        size = prod(layout.window)
        index = self._index(
            qkv, layout, size * (qkv.shape[-1] + len(terms.bias) * size)
        )
        if torch.is_grad_enabled() and len(index.chunks) == 1:
            # Results of a single chunk are kept: no need to compute them anew.
            windows = gather_windows(tokens, index, size, terms.padding)
            x = attend(windows, index.chunks[0].mask(mask), terms)
            x = scatter_windows(x, index)  # (B * H * W, C)
        else:
            x = attend_in_chunks(tokens, index, mask, terms)
        return x.view(*qkv.shape[:-1], -1)  # (B, H, W, C)

    def can_run_block(self, block: Block, x: Tensor) -> bool:
        """Return True for a block in evaluation without gradients."""
        return not (
            block.training
            or torch.is_grad_enabled()
            or block.mlp.elements_per_token is None
        )

    def run_block(
        self, block: Block, x: Tensor, layout: WindowLayout
    ) -> Tensor:
        """Run a block in chunks whose intermediate results fit the cache."""
        row_size = block.mixer.elements_per_window(layout.window)
        index = self._index(x, layout, row_size)
        mask = self._mask(x, layout, x.dtype)
        with pack_weights_once():
            return run_block(block, x, layout.window, index, mask, self)

    def _index(
        self, x: Tensor, layout: WindowLayout, row_size: int | None = None
    ) -> WindowIndex:
        """Return the index of the windows of a batch, cut into chunks.

        Args:
            x: Maps `(B, *grid, C)`.
            layout: Position of the windows.
            row_size: Elements per window of the widest intermediate result,
                which sets the number of chunks; one chunk if None.
        """
        windows = len(x) * layout.num_windows
        count = 1
        if row_size is not None:
            count = num_chunks(
                windows, row_size, compute_dtype(x), torch.is_grad_enabled()
            )
        return self.cache.get(
            make_window_index, layout, len(x), count, device=x.device
        )


KERNELS = CPUKernels
