"""Experts: feed-forward networks, of which each token uses a few."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels import Kernels
from swin_dense.layers.routing import Router, Routing


class Exchange:
    """How experts in other processes are reached, see `expert_parallel`."""

    rows: slice

    def run(self, experts: 'Experts', x: Tensor, counts: list[int]) -> Tensor:
        """Run tokens `(n, C)`, in the order of their experts."""
        raise NotImplementedError

    def gather(self, value: Tensor) -> Tensor | None:
        """Return the values of all processes in the first one, else None."""
        raise NotImplementedError


class Experts(nn.Module):
    """E feed-forward networks: linear, GELU, dropout, linear.

    Parameters are named and laid out as in Tutel: the second weight is stored
    transposed, so that both have the shape `(E, hidden, C)`.

    Args:
        num_experts: Number of experts E.
        dim: Channels C of input and output.
        hidden_dim: Channels between the layers.
        drop: Dropout between the layers.
        fc2_bias: If false, the bias of the second layer is a frozen zero,
            as in all published weights.
        init_std: Standard deviation of the initial weights.

    Attributes:
        exchange: The way to experts in other processes, see `split_experts`;
            None if all are here.
        gathered: Parameters of the experts of all processes, which take the
            place of those of this process in a state_dict.
    """

    def __init__(
        self,
        num_experts: int,
        dim: int,
        hidden_dim: int,
        drop: float = 0.0,
        fc2_bias: bool = False,
        init_std: float = 0.005,
    ) -> None:
        super().__init__()
        self.num_experts = num_experts
        self.init_std = init_std
        self.exchange: Exchange | None = None
        self.gathered: dict[str, Tensor] = {}
        self.drop = nn.Dropout(drop)
        weight = torch.empty(num_experts, hidden_dim, dim)
        self.batched_fc1_w = nn.Parameter(weight)
        self.batched_fc1_bias = nn.Parameter(
            torch.empty(num_experts, hidden_dim)
        )
        self.batched_fc2_w = nn.Parameter(torch.empty_like(weight))
        self.batched_fc2_bias = nn.Parameter(
            torch.empty(num_experts, dim), requires_grad=fc2_bias
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights, and set the biases to 0."""
        rows = slice(None) if self.exchange is None else self.exchange.rows
        for weight in (self.batched_fc1_w, self.batched_fc2_w):
            # All processes draw all experts, so that no two are equal.
            drawn = weight.detach().new_empty(
                self.num_experts, *weight.shape[1:]
            )
            nn.init.trunc_normal_(drawn, std=self.init_std)
            with torch.no_grad():
                weight.copy_(drawn[rows])
        nn.init.zeros_(self.batched_fc1_bias)
        nn.init.zeros_(self.batched_fc2_bias)

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        """Return the weighted sum of the experts of each token.

        Args:
            x: Tokens `(T, C)`.
            routing: Experts of each token. A token that all its experts drop
                becomes 0.

        Returns:
            Tokens `(T, C)`.
        """
        tokens, gates, counts = _sorted_by_expert(routing, self.num_experts)
        rows = x.index_select(0, tokens)  # (n, C)
        if self.exchange is None:
            mixed = self.run(rows, counts)  # (n, C)
        else:
            mixed = self.exchange.run(self, rows, counts)  # (n, C)
        mixed = mixed * gates[:, None]
        out = mixed.new_zeros(x.shape).index_add(0, tokens, mixed)
        return out.to(x.dtype)

    def run(self, x: Tensor, counts: list[int]) -> Tensor:
        """Run tokens `(n, C)` by the experts of this process.

        Args:
            x: Tokens, in the order of their experts.
            counts: Number of tokens of each expert.
        """
        # `unbind` has one gradient for all experts. Selecting each of them
        # would make a gradient of the size of all for each.
        parameters = zip(
            self.batched_fc1_w.unbind(),
            self.batched_fc1_bias.unbind(),
            self.batched_fc2_w.unbind(),
            self.batched_fc2_bias.unbind(),
        )
        parts = []
        for part, (fc1_w, fc1_bias, fc2_w, fc2_bias) in zip(
            x.split(counts), parameters
        ):
            hidden = self.drop(F.gelu(F.linear(part, fc1_w, fc1_bias)))
            parts.append(F.linear(hidden, fc2_w.t(), fc2_bias))
        return torch.cat(parts)  # (n, C)

    def _save_to_state_dict(
        self, destination: Any, prefix: str, keep_vars: bool
    ) -> None:
        """Put the parameters into a state_dict, the gathered ones if any."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in self.gathered.items():
            destination[prefix + name] = value

    def extra_repr(self) -> str:
        """Return the sizes, for `print(model)`."""
        experts, hidden_dim, dim = self.batched_fc1_w.shape
        return f'num_experts={experts}, dim={dim}, hidden_dim={hidden_dim}'


class ExpertFeedForward(nn.Module):
    """A feed-forward network of experts, in the place of `FeedForward`.

    Parameters are named as in official checkpoints of Swin-MoE.

    Args:
        router: Chooses the experts of each token.
        experts: The experts.

    Attributes:
        elements_per_token: None: the experts of a token depend on the other
            tokens, so kernels have to pass whole maps.
        losses: List that gets the auxiliary loss of each forward pass in
            training; None to collect no losses. Recomputation in the backward
            pass must not find a list here, since it would add a second loss.
    """

    elements_per_token: int | None = None

    def __init__(self, router: Router, experts: Experts) -> None:
        super().__init__()
        self._moe_layer = nn.ModuleDict(
            dict(gates=nn.ModuleList([router]), experts=experts)
        )
        self.losses: list[Tensor] | None = None

    @property
    def router(self) -> Router:
        """Return the router."""
        gates: Any = self._moe_layer['gates']
        return gates[0]

    @property
    def experts(self) -> Experts:
        """Return the experts."""
        experts: Any = self._moe_layer['experts']
        return experts

    def forward(self, x: Tensor, kernels: Kernels | None = None) -> Tensor:
        """Compute the network for tokens `(..., C)`.

        Args:
            x: Tokens `(..., C)`.
            kernels: Unused: experts are computed by plain PyTorch.

        Returns:
            Tokens `(..., C)`.
        """
        tokens = x.reshape(-1, x.shape[-1])  # (T, C)
        routing = self.router(tokens)
        if self.training and torch.is_grad_enabled():
            # Computed in recomputation, too, which has to repeat all steps.
            loss = self.router.auxiliary_loss(routing)
            if self.losses is not None:
                self.losses.append(loss)
        return self.experts(tokens, routing).view(x.shape)  # (..., C)


def _sorted_by_expert(
    routing: Routing, num_experts: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Return the choices that are not dropped, sorted by expert.

    Returns:
        Tokens `(n, )`, gates `(n, )`, and the number of tokens of each
        expert.
    """
    if routing.experts.is_meta:
        return _sorted_evenly(routing, num_experts)
    kept = routing.kept
    tokens, _ = kept.nonzero(as_tuple=True)  # (n, )
    experts = routing.experts[kept]  # (n, )
    order = experts.argsort(stable=True)
    counts = experts.bincount(minlength=num_experts).tolist()
    return tokens[order], routing.gates[kept][order], counts


def _sorted_evenly(
    routing: Routing, num_experts: int
) -> tuple[Tensor, Tensor, list[int]]:
    """Return as many choices for each expert, for tensors without values.

    On the meta device, where operations are counted, nobody knows the experts
    of a token. Their number of operations does not depend on it, unless tokens
    are dropped.
    """
    total = routing.experts.numel()
    if routing.capacity is not None:
        total = min(total, num_experts * routing.capacity)
    counts = [
        total // num_experts + (number < total % num_experts)
        for number in range(num_experts)
    ]
    tokens = routing.experts.new_empty(total)  # (n, )
    return tokens, routing.gates.new_empty(total), counts
