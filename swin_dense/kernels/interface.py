"""The interface of all sets of kernels.

A set carries out the arithmetic of the model: tensors in, tensors out. The
pyramid chooses one for each forward pass, see `choose`, and passes it down. No
other code depends on the device of a tensor.

Dimension key: B batch, C channels, K windows per map, N tokens per window,
D channels of a head.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from swin_dense.ops import SizeCache, WindowLayout

# Mixes windows `(n, N, C)` under additive masks `(n or 1, N, N)` or None.
MixFunction = Callable[[Tensor, Tensor | None], Tensor]


class AttentionTerms(NamedTuple):
    """Tensors and settings that all windows of an attention share.

    Attributes:
        bias: Position bias `(heads, N, N)`, added to the logits.
        padding: Queries, keys and values of a token of padding, `(3 * C, )`.
            Padding is zeros before the linear layer, so it equals the bias
            of the layer afterwards. None for zeros.
        scale: Factor of the products of queries and keys.
        cosine: Factor of the cosines of queries and keys, `(heads, 1, 1)`;
            None for dot products.
        dropout: Dropout rate of attention weights.
        sequential: If true, a few windows are computed at a time, and the
            backward pass recomputes attention weights instead of keeping them.
    """

    bias: Tensor
    padding: Tensor | None = None
    scale: float = 1.0
    cosine: Tensor | None = None
    dropout: float = 0.0
    sequential: bool = False


class Mixer(Protocol):
    """The part of `layers.WindowMixer` that kernels use."""

    def prepare(self, window: Any, cache: SizeCache) -> Any:
        """Return the state that all windows of this size share."""

    def mix(
        self,
        windows: Tensor,
        shared: Any,
        mask: Tensor | None,
        kernels: 'Kernels',
    ) -> Tensor:
        """Mix the tokens of windows `(n, N, C)`."""

    def elements_per_window(self, window: Any) -> int:
        """Return the size of the widest intermediate result of a window."""


class Block(Protocol):
    """The parts of `layers.SwinBlock` that `Kernels.run_block` uses."""

    norm1: nn.Module
    norm2: nn.Module
    norm3: nn.Module | None
    mlp: Any
    post_norm: bool
    training: bool

    @property
    def mixer(self) -> Mixer:
        """Return the mixer of the tokens of a window."""


class Kernels:
    """A set of kernels for one forward pass, and its backward pass.

    To add a set, write a module or package in this folder that defines
    `KERNELS`, a subclass of this class. All sets give the same numbers up to
    rounding, and the same gradients; `plain` is the reference.

    Args:
        cache: Keeps masks and indices from one forward pass to the next.

    Attributes:
        name: Name of the set.
        device: Type of device that the set is for; None for all devices. On
            other devices `choose` takes the set only on request.
        can_be_compiled: True if `torch.compile` may trace the set.
    """

    name: ClassVar[str]
    device: ClassVar[str | None] = None
    can_be_compiled: ClassVar[bool] = False

    def __init__(self, cache: SizeCache) -> None:
        self.cache = cache

    @classmethod
    def refuses(cls, x: Tensor) -> str | None:
        """Return why the set cannot work on this tensor now, or None."""
        raise NotImplementedError

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute `x @ weight.T + bias` for tokens `(*, C)`."""
        raise NotImplementedError

    def feed_forward(
        self, x: Tensor, fc1: nn.Linear, fc2: nn.Linear, approximate: str
    ) -> Tensor:
        """Run tokens `(*, C)` through linear, GELU, linear.

        Args:
            x: Tokens.
            fc1: Weight and bias of the first layer.
            fc2: Weight and bias of the second layer.
            approximate: Approximation of the GELU, `none` or `tanh`.
        """
        raise NotImplementedError

    def mix_windows(
        self, x: Tensor, layout: WindowLayout, mix: MixFunction
    ) -> Tensor:
        """Mix the windows of maps by any function.

        Args:
            x: Maps `(B, *grid, C)`; padding is zeros.
            layout: Position of their windows, and hidden tokens.
            mix: Mixes windows `(n, N, C)`, given their masks. It sees all
                windows of all maps at once, in any order.

        Returns:
            Maps `(B, *grid, C)`.
        """
        raise NotImplementedError

    def window_attention(
        self, qkv: Tensor, layout: WindowLayout, terms: AttentionTerms
    ) -> Tensor:
        """Attend within the windows of maps.

        Args:
            qkv: Queries, keys and values of each token of the maps,
                `(B, *grid, 3 * C)`; C consists of heads times D.
            layout: Position of the windows, and hidden tokens.
            terms: Tensors and settings that all windows share.

        Returns:
            Maps `(B, *grid, C)`.
        """
        raise NotImplementedError

    def can_run_block(self, block: Block, x: Tensor) -> bool:
        """Return True if `run_block` should run the block on this map."""
        return False

    def run_block(
        self, block: Block, x: Tensor, layout: WindowLayout
    ) -> Tensor:
        """Run a whole block on maps `(B, *grid, C)`; see `SwinBlock`.

        This is for kernels that fuse the operations of a block. Without
        gradients, a CPU applies norm, projection and attention to a few
        windows in its cache before it reads the next ones.
        """
        raise NotImplementedError
