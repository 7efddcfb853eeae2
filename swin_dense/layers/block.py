"""The Swin block: a window mixer, then a network of single tokens."""

from torch import Tensor, nn

from swin_dense.kernels import Kernels, choose
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.mixer import WindowMixer
from swin_dense.ops import WindowLayout


class SwinBlock(nn.Module):
    """Two residual branches, each with a norm (V1 paper, equation 3).

    Args:
        dim: Channels C.
        mixer: Mixes the tokens of a window.
        feedforward: Network of single tokens, see `FeedForward`.
        norm: Class of the norms; it is called with the number of channels.
        drop_path: Stochastic depth rate of both branches.
        post_norm: If true, the norm of a branch is its last step (V2 paper,
            section 3.2) instead of its first.
        extra_norm: If true, a third norm ends the block, on the main branch
            (V2 paper, section 3.2, the largest sizes).
    """

    def __init__(
        self,
        dim: int,
        mixer: WindowMixer,
        feedforward: nn.Module,
        norm: type[nn.Module] = nn.LayerNorm,
        drop_path: float = 0.0,
        post_norm: bool = False,
        extra_norm: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.mixer_name = mixer.parameter_prefix
        self.add_module(self.mixer_name, mixer)
        self.norm2 = norm(dim)
        self.mlp = feedforward
        self.norm3 = norm(dim) if extra_norm else None
        self.drop_path = DropPath(drop_path)
        self.post_norm = post_norm

    @property
    def mixer(self) -> WindowMixer:
        """Return the mixer, a submodule named by its class, e.g. `attn`."""
        return getattr(self, self.mixer_name)

    @property
    def runs(self) -> tuple['SwinBlock']:
        """Return the runs of the block in a forward pass: one, of itself."""
        return (self,)

    def forward(
        self, x: Tensor, layout: WindowLayout, kernels: Kernels | None = None
    ) -> Tensor:
        """Compute the block.

        Args:
            x: Maps `(B, *grid, C)`.
            layout: How the windows of the maps lie.
            kernels: Set of kernels; None to choose one for `x`.

        Returns:
            Maps `(B, *grid, C)`.
        """
        kernels = choose(x) if kernels is None else kernels
        if kernels.can_run_block(self, x):
            return kernels.run_block(self, x, layout)
        if self.post_norm:
            x = x + self.drop_path(self.norm1(self.mixer(x, layout, kernels)))
            x = x + self.drop_path(self.norm2(self.mlp(x, kernels)))
        else:
            x = x + self.drop_path(self.mixer(self.norm1(x), layout, kernels))
            x = x + self.drop_path(self.mlp(self.norm2(x), kernels))
        return x if self.norm3 is None else self.norm3(x)
