"""Experts: feed-forward networks, of which each token uses a few."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.kernels import Kernels
from swin_dense.layers.routing import Router, Routing


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
        nn.init.trunc_normal_(self.batched_fc1_w, std=self.init_std)
        nn.init.trunc_normal_(self.batched_fc2_w, std=self.init_std)
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
        mixed = self._run(x.index_select(0, tokens), counts)  # (n, C)
        mixed = mixed * gates[:, None]
        out = mixed.new_zeros(x.shape).index_add(0, tokens, mixed)
        return out.to(x.dtype)

    def _run(self, x: Tensor, counts: list[int]) -> Tensor:
        """Run tokens `(n, C)`, in the order of their experts.

        Args:
            x: Tokens.
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
