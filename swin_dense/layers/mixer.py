"""The contract of mixers, which mix the tokens of a window."""

from functools import partial
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

from swin_dense.kernels import Kernels
from swin_dense.ops import SizeCache, WindowLayout
from swin_dense.ops.grid import Grid


class WindowMixer(nn.Module):
    """Mix the tokens of each window; the base class of all mixers.

    To add a mixer, write a subclass that defines `mix`, and name it where a
    backbone lists the mixers of its stages. It is used as follows:

    1. The stage reads `window_size`, `mask_value` and `shifts_by`, and makes
       the layout of the windows. The window in use is at most the nominal
       one, and smaller where the backbone shrinks windows.
    2. In training and on most devices, the block calls `forward` with a map.
       By default `forward` calls `prepare`, then `mix` with all windows.
    3. Without gradients, kernels may call `prepare` once and `mix` with a few
       windows at a time (see `Kernels.run_block`). So the result for a window
       must not depend on other windows, nor on their order.

    Padding is zeros. A mixer that takes masks must add them to its logits,
    the weights with which a token (row) takes from another (column).

    Args:
        window_size: Nominal window, in tokens per axis.

    Attributes:
        parameter_prefix: Name of the mixer as a submodule of a block, as in
            official checkpoints: `attn`, or `spatial_mlp` for Swin-MLP.
        mask_value: Number that hides a token when it is added to its logit.
            None for a mixer that takes no masks and so sees padding.
        shifts_by: `roll` or `pad`, see `WindowLayout`. A mixer without masks
            should pad, since rolled windows hold tokens of opposite sides.
    """

    parameter_prefix: ClassVar[str] = 'attn'
    mask_value: ClassVar[float | None] = None
    shifts_by: ClassVar[str] = 'roll'

    def __init__(self, window_size: Grid) -> None:
        super().__init__()
        self.window_size = window_size

    def prepare(self, window: Grid, cache: SizeCache) -> Any:
        """Return the state that all windows of a forward pass share.

        Attention, for example, returns its position bias.

        Args:
            window: Window in use, in tokens per axis.
            cache: Keeps tensors that depend on sizes alone.
        """
        return None

    def mix(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Mix the tokens within each of `n` windows.

        Args:
            windows: Tokens `(n, N, C)`, in row-major order of the window.
            shared: State that `prepare` returned.
            mask: Mask `(n or 1, N, N)` to add to the logits; None if nothing
                is hidden.
            kernels: Set of kernels that computes linear layers.

        Returns:
            Tokens `(n, N, C)`.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, layout: WindowLayout, kernels: Kernels
    ) -> Tensor:
        """Mix the windows of maps `(B, *grid, C)`.

        Args:
            x: Maps `(B, *grid, C)`.
            layout: Position of their windows.
            kernels: Set of kernels.

        Returns:
            Maps `(B, *grid, C)`.
        """
        shared = self.prepare(layout.window, kernels.cache)
        mix = partial(self._mix, shared, kernels)
        return kernels.mix_windows(x, layout, mix)

    def _mix(
        self,
        shared: Any,
        kernels: Kernels,
        windows: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """Call `mix` with the arguments that `partial` can bind first."""
        return self.mix(windows, shared, mask, kernels)

    def elements_per_window(self, window: Grid) -> int:
        """Count the elements of the intermediate results of a window.

        Kernels choose by this number how many windows they mix at a time.
        """
        return prod(window) ** 2

    def reset_parameters(self) -> None:
        """Initialise parameters that are not of linear layers or norms."""
