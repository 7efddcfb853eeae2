"""What a mixer of the tokens of a window is."""

from functools import partial
from math import prod
from typing import Any, ClassVar

from torch import Tensor, nn

from swin_dense.kernels import Kernels
from swin_dense.ops import SizeCache, WindowLayout
from swin_dense.ops.grid import Grid


class WindowMixer(nn.Module):
    """Mixes the tokens of each window; knows nothing of blocks and stages.

    To add a mixer, write one class that defines `mix` and name it where a
    backbone lists the mixers of its stages. A block asks in this order:

    1. `window_size`, `mask_value` and `shifts_by`, from which the stage makes
       the layout of the windows: the window in use is no larger than the
       nominal one, and may be smaller where the backbone shrinks windows.
    2. `forward` with a map, in training and on most devices; by default this
       is `prepare`, then `mix` for all windows at once.
    3. Or `prepare`, then `mix` for some windows after the other: kernels may
       do so without gradients (see `Kernels.run_block`). So a window must not
       depend on other windows, nor on their order.

    Padding is zeros. A mixer that takes masks must add them to what decides
    how much a token (row) takes of another (column).

    Args:
        window_size: Nominal window, in tokens per axis.

    Attributes:
        parameter_prefix: Name of the mixer inside a block, under which its
            parameters stand in official checkpoints: `attn`, or for Swin-MLP
            `spatial_mlp`.
        mask_value: What hides a token when it is added to its logit. None for
            a mixer that takes no masks: it sees padding.
        shifts_by: `roll` or `pad`, see `WindowLayout`. Rolled windows mix
            what must not be mixed unless the mixer takes masks.
    """

    parameter_prefix: ClassVar[str] = 'attn'
    mask_value: ClassVar[float | None] = None
    shifts_by: ClassVar[str] = 'roll'

    def __init__(self, window_size: Grid) -> None:
        super().__init__()
        self.window_size = window_size

    def prepare(self, window: Grid, cache: SizeCache) -> Any:
        """Return what all windows share in a forward pass, such as a bias.

        Args:
            window: Window in use, in tokens per axis.
            cache: Keeps what depends on sizes alone.
        """
        return None

    def mix(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: Kernels,
    ) -> Tensor:
        """Mix the tokens of some windows.

        Args:
            windows: Tokens `(n, N, C)`, in row-major order of the window.
            shared: What `prepare` returned.
            mask: Added to logits, `(n or 1, N, N)`; None where nothing is
                hidden.
            kernels: What to compute linear layers with.

        Returns:
            Tokens `(n, N, C)`.
        """
        raise NotImplementedError

    def forward(
        self, x: Tensor, layout: WindowLayout, kernels: Kernels
    ) -> Tensor:
        """Mix the windows of maps `(B, *grid, C)`."""
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
        return self.mix(windows, shared, mask, kernels)

    def elements_per_window(self, window: Grid) -> int:
        """Return the size of the widest result of `mix` for one window.

        Kernels choose by it how many windows they mix at a time.
        """
        return prod(window) ** 2

    def reset_parameters(self) -> None:
        """Draw anew what is not drawn as all linear layers and norms are."""
