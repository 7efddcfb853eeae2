"""What a set of kernels can be asked for.

A set carries out the arithmetic of the model: tensors in, tensors out. The
pyramid chooses one for each forward pass, see `choose`, and hands it down;
no other code asks where a tensor lies. Keys: B batch, C channels, K windows
per map, N tokens per window, D channels of a head.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from swin_dense.ops import SizeCache, WindowLayout

# Mixes windows `(n, N, C)` under additive masks `(n or 1, N, N)` or None.
MixFunction = Callable[[Tensor, Tensor | None], Tensor]


class AttentionTerms(NamedTuple):
    """What all windows of an attention share.

    Attributes:
        bias: Position bias `(heads, N, N)`, added to the logits.
        padding: What queries, keys and values of padding hold, `(3 * C, )`:
            padding is zeros before their linear layer, hence its bias after
            it. Zeros where None.
        scale: Factor of the products of queries and keys.
        cosine: Factor of the cosines of queries and keys, `(heads, 1, 1)`,
            which then take the place of the products; or None.
        dropout: Rate at which attention weights are dropped.
        sequential: Whether attention weights are computed anew in the
            backward pass, a few windows at a time, instead of kept.
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
        """Return what all windows of this size share."""

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
        """The mixer of the tokens of a window."""


class Kernels:
    """A set of kernels for one forward pass, and its backward pass.

    A new set is a module or package of this folder that defines `KERNELS`, a
    subclass. All sets give the same numbers up to rounding, with gradients
    for all tensors that ask for them; `plain` is the reference.

    Args:
        cache: Keeps masks and indices from one forward pass to the next.

    Attributes:
        name: Name of the set.
        device: Type of the devices that it is for; None for all. `choose`
            takes it for others only if asked to.
        can_be_compiled: Whether `torch.compile` may trace it.
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
            fc2: Those of the second.
            approximate: Approximation of the GELU, `none` or `tanh`.
        """
        raise NotImplementedError

    def mix_windows(
        self, x: Tensor, layout: WindowLayout, mix: MixFunction
    ) -> Tensor:
        """Mix the windows of maps by any function.

        Args:
            x: Maps `(B, *grid, C)`; padding is zeros.
            layout: Where their windows lie, and what is hidden.
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
            qkv: Queries, keys and values `(B, *grid, 3 * C)`, heads inside
                of each. They were computed on the map, in its own order,
                since they are linear in single tokens.
            layout: Where the windows lie, and what is hidden.
            terms: What all windows share.

        Returns:
            Maps `(B, *grid, C)`.
        """
        raise NotImplementedError

    def can_run_block(self, block: Block, x: Tensor) -> bool:
        """Return True if `run_block` is the better way for this map."""
        return False

    def run_block(
        self, block: Block, x: Tensor, layout: WindowLayout
    ) -> Tensor:
        """Run a whole block on maps `(B, *grid, C)`; see `SwinBlock`.

        For kernels that gain by what lies between the operations: without
        gradients a CPU norms, projects and attends while a few windows are in
        its cache, before the next ones are read.
        """
        raise NotImplementedError
