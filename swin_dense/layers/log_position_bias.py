"""The log-spaced continuous position bias of Swin V2."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from swin_dense.ops import SizeCache, is_traced, log_coordinates
from swin_dense.ops.grid import Grid

# Windows shrink to small maps, so images of many sizes have many windows.
MAX_CACHED_TABLES = 8


class _TableCache(NamedTuple):
    """Bias tables by window, and the state of the weights they come from."""

    state: tuple
    tables: dict[Grid, Tensor]


class LogPositionBias(nn.Sequential):
    """Log-spaced continuous position bias (Swin V2 paper, section 3.3).

    Two linear layers (the log-MLP) map the offset between two tokens to a
    bias per head. A table of the biases of all offsets depends on the weights
    alone: it is computed once per forward pass, and in evaluation mode it is
    kept until the weights change.

    A change is noticed by address and version of the weights. Values written
    through `.data` change neither; call `eval()` after writing them.

    Args:
        window_size: Nominal window, in tokens per axis.
        num_heads: Attention heads.
        pretrained_window_size: Window that the weights were pre-trained with,
            in tokens per axis; 0 for the window in use, as in the official
            code.
        hidden_dim: Channels between the layers.
        bound: A sigmoid keeps the bias between 0 and this number; None for
            no sigmoid.

    Attributes:
        window_was_given: True if the caller set the pretrained window.
            Loading a checkpoint then keeps it.
    """

    def __init__(
        self,
        window_size: Grid,
        num_heads: int,
        pretrained_window_size: Grid | None = None,
        hidden_dim: int = 512,
        bound: float | None = 16.0,
    ) -> None:
        super().__init__(
            nn.Linear(len(window_size), hidden_dim),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_dim, num_heads, bias=False),
        )
        self.pretrained_window_size = pretrained_window_size or (0,) * len(
            window_size
        )
        self.window_was_given = any(self.pretrained_window_size)
        self.bound = bound
        self._tables: _TableCache | None = None

    def forward(self, window: Grid, cache: SizeCache | None = None) -> Tensor:
        """Return the table of biases of all offsets of a window.

        Args:
            window: Window in use, in tokens per axis.
            cache: Keeps the log coordinates.

        Returns:
            Table `(prod(2 * w - 1), heads)`, rows in the order of
            `relative_index(window)`; float32, or float64 if the weights are.
        """
        cache = SizeCache() if cache is None else cache
        if self.training or is_traced():
            return self._compute(window, cache)
        weights = list(self.parameters())
        if any(weight.is_inference() for weight in weights) or (
            torch.is_grad_enabled()
            and any(weight.requires_grad for weight in weights)
        ):
            return self._compute(window, cache)
        state = tuple(
            (weight.data_ptr(), weight._version, weight.dtype, weight.device)
            for weight in weights
        )
        # Threads may share the module: the record is never changed, only
        # replaced by another.
        record = self._tables
        if record is None or record.state != state:
            record = _TableCache(state, {})
        table = record.tables.get(window)
        if table is None:
            # No inference tensor, since the next caller may need gradients.
            with torch.inference_mode(False), torch.no_grad():
                table = self._compute(window, cache)
            latest = list(record.tables.items())[-(MAX_CACHED_TABLES - 1) :]
            self._tables = _TableCache(state, {**dict(latest), window: table})
        return table

    def _compute(self, window: Grid, cache: SizeCache) -> Tensor:
        """Return the table `(prod(2 * w - 1), heads)`, computed now."""
        first: Any = self[0]
        last: Any = self[2]
        dtype = torch.promote_types(first.weight.dtype, torch.float32)
        unit = tuple(
            p or w for p, w in zip(self.pretrained_window_size, window)
        )
        offsets = cache.get(
            log_coordinates, window, unit, dtype, device=first.weight.device
        )
        # In half precision neighbouring offsets would share a bias.
        device = first.weight.device.type
        device = 'cpu' if device == 'meta' else device  # no autocast on meta
        with torch.autocast(device, enabled=False):
            hidden = torch.addmm(
                first.bias.to(dtype), offsets, first.weight.to(dtype).t()
            )  # (offsets, hidden_dim)
            table = hidden.relu() @ last.weight.to(dtype).t()
            return (
                table if self.bound is None else (self.bound * table.sigmoid())
            )

    def train(self, mode: bool = True) -> 'LogPositionBias':
        """Set the mode and drop the kept tables."""
        self._tables = None
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> 'LogPositionBias':
        """Drop the kept tables when the weights move or change type."""
        self._tables = None
        return super()._apply(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Drop the kept tables when weights are loaded."""
        self._tables = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for a copy or pickle, without kept tables."""
        return {**self.__dict__, '_tables': None}

    def extra_repr(self) -> str:
        """Return the pretrained window, for `print(model)`."""
        return f'pretrained_window_size={self.pretrained_window_size}'
