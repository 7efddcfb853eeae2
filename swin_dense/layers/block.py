"""The Swin block: windows are mixed, then every token by itself."""

from torch import Tensor, nn

from swin_dense.kernels import Kernels, choose
from swin_dense.layers.drop_path import DropPath
from swin_dense.layers.mixer import WindowMixer
from swin_dense.ops import WindowLayout


class SwinBlock(nn.Module):
    """Two residual branches, each with a norm (V1 paper, eq. 3).

    Args:
        dim: Channels C.
        mixer: Mixer of the tokens of a window.
        feedforward: Network of single tokens, see `FeedForward`.
        norm: Makes the norm for a number of channels.
        drop_path: Stochastic depth rate of both branches.
        post_norm: Whether the norm of a branch is its last step (V2 paper,
            section 3.2) instead of its first.
        extra_norm: Whether a third norm ends the block, on the main branch
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
        """The mixer, which stands under its own name, such as `attn`."""
        return getattr(self, self.mixer_name)

    def forward(
        self, x: Tensor, layout: WindowLayout, kernels: Kernels | None = None
    ) -> Tensor:
        """Mix maps.

        Args:
            x: Maps `(B, *grid, C)`.
            layout: How their windows lie.
            kernels: What carries it out; chosen here where None.

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
