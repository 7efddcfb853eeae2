"""Routers: which experts a token goes to, and with what weight."""

from math import log
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The largest factor of the cosines is 100, as in Swin V2.
_MAX_LOG_SCALE = log(100)
_EPSILON = 1e-10


class Routing(NamedTuple):
    """The experts of T tokens, k choices for each of them.

    Attributes:
        logits: Logits of the E experts `(T, E)`, without noise.
        noisy_logits: Logits that the choice is made from, `(T, E)`.
        experts: Experts of each token, best first, `(T, k)`.
        gates: Factors of the outputs of these experts, `(T, k)`.
        positions: Places of the token in the queues of these experts, from
            0, `(T, k)`.
        capacity: Tokens that an expert takes; None for no limit. Tokens at
            later places are dropped.
    """

    logits: Tensor
    noisy_logits: Tensor
    experts: Tensor
    gates: Tensor
    positions: Tensor
    capacity: int | None

    @property
    def kept(self) -> Tensor:
        """Return a mask `(T, k)` of the choices that are not dropped."""
        if self.capacity is None:
            return torch.ones_like(self.positions, dtype=torch.bool)
        return self.positions < self.capacity

    @property
    def assignments(self) -> Tensor:
        """Return the experts that take each token, -1 if dropped, `(T, k)`."""
        return self.experts.where(self.kept, -1)


class Router(nn.Module):
    """Choose the experts of each token; the base class of all routers.

    Official code of Swin-MoE, which uses Tutel (arXiv 2206.03382). A subclass
    defines `logits`. Logits and all that follows are computed in float32 at
    least. In training, noise is added to the logits. A token goes to the
    experts with the best scores, the softmax of the logits. An expert takes a
    limited number of tokens.

    Args:
        num_experts: Number of experts E, at least 2.
        top_value: Number k of experts for each token.
        capacity_factor: Limit in training. An expert takes at most
            `k * int(capacity_factor * ceil(T / E))` of T tokens; 0 for no
            limit. Tutel tells negative factors from positive ones by the size
            of its buffers alone; here the sign has no meaning.
        eval_capacity_factor: Limit in evaluation.
        normalize_gate: If true and k > 1, the gates of a token sum to 1.
        use_bpr: If true, tokens queue by falling score of their best expert
            (batch-prioritised routing); else in the order of the batch. Second
            choices queue behind all first choices.
        is_gshard_loss: See `auxiliary_loss`.
        gate_noise: Standard deviation of the noise, times E.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        num_experts: int,
        top_value: int = 1,
        capacity_factor: float = 1.25,
        eval_capacity_factor: float = 0.0,
        normalize_gate: bool = False,
        use_bpr: bool = True,
        is_gshard_loss: bool = False,
        gate_noise: float = 1.0,
    ) -> None:
        super().__init__()
        if num_experts < 2:
            raise ValueError(
                'a router needs at least 2 experts to choose from, got '
                f'{num_experts=}'
            )
        if not 1 <= top_value <= num_experts:
            raise ValueError(
                'top_value, the number of experts for a token, must be '
                f'between 1 and {num_experts=}, got {top_value}'
            )
        if gate_noise < 0 or not (gate_noise or is_gshard_loss):
            raise ValueError(
                'gate_noise must be above 0, since the loss of the load is '
                'defined by it, or 0 with is_gshard_loss=True, got '
                f'{gate_noise}'
            )
        self.num_experts = num_experts
        self.top_value = top_value
        self.capacity_factor = capacity_factor
        self.eval_capacity_factor = eval_capacity_factor
        self.normalize_gate = normalize_gate
        self.use_bpr = use_bpr
        self.is_gshard_loss = is_gshard_loss
        self.gate_noise = gate_noise

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits `(T, E)` of tokens `(T, C)`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Routing:
        """Route tokens `(T, C)`."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        device = 'cpu' if x.device.type == 'meta' else x.device.type
        with torch.autocast(device, enabled=False):
            logits = self.logits(x.to(dtype))
        noisy = logits
        if self.training and self.gate_noise:
            noise = torch.randn_like(logits)
            noisy = logits + noise * (self.gate_noise / self.num_experts)
        scores = noisy.softmax(1)
        gates, experts = scores.topk(self.top_value, 1)
        if self.normalize_gate and self.top_value > 1:
            total = gates.sum(1, keepdim=True)
            gates = gates / total.clamp(min=torch.finfo(dtype).eps)
        return Routing(
            logits,
            noisy,
            experts,
            gates,
            self._positions(scores, experts),
            self._capacity(len(x)),
        )

    def _capacity(self, tokens: int) -> int | None:
        """Return the number of tokens that an expert takes, None for all."""
        factor = (
            self.capacity_factor
            if self.training
            else self.eval_capacity_factor
        )
        if not factor:
            return None
        share = -(-tokens // self.num_experts)
        return self.top_value * int(abs(factor) * share)

    def _positions(self, scores: Tensor, experts: Tensor) -> Tensor:
        """Return the places of tokens in the queues of their experts.

        Args:
            scores: Scores of the experts `(T, E)`.
            experts: Experts of each token `(T, k)`.

        Returns:
            Places `(T, k)`, counted from 0.
        """
        if self.use_bpr:
            best = scores.detach().amax(1)
            order = best.argsort(descending=True, stable=True)  # (T, )
            experts = experts[order]
        chosen = F.one_hot(experts, self.num_experts)  # (T, k, E)
        queues = chosen.cumsum(0) - 1  # (T, k, E)
        # Behind all choices of a lower number.
        lengths = chosen.sum(0)  # (k, E)
        queues = queues + lengths.cumsum(0) - lengths  # (T, k, E)
        places = queues.gather(2, experts[..., None])[..., 0]  # (T, k)
        if self.use_bpr:
            places = torch.empty_like(places).index_copy(0, order, places)
        return places

    def auxiliary_loss(self, routing: Routing) -> Tensor:
        """Return the loss that keeps the router from preferring few experts.

        With `is_gshard_loss`, the loss of GShard (arXiv 2006.16668): E times
        the sum over experts of the mean score and the share of tokens whose
        first choice the expert is. Else the mean of the losses of importance
        and load (arXiv 1701.06538), the squared coefficients of variation
        over the experts. The importance of an expert is its sum of scores
        without noise. Its load is the sum over tokens of the probability
        that the expert would be chosen with other noise. As in Tutel, which
        the official weights were trained with, this probability is that of
        the *score* minus the noisy *logit* of the last choice; the paper has
        the logit in both places.
        """
        if self.is_gshard_loss:
            scores = routing.noisy_logits.softmax(1)
            first = F.one_hot(routing.experts[:, 0], self.num_experts)
            share = first.to(scores.dtype).mean(0)
            return self.num_experts * (scores.mean(0) * share).sum()
        scores = routing.logits.softmax(1)
        last = routing.noisy_logits.gather(1, routing.experts[:, -1:])
        deviation = self.gate_noise / self.num_experts
        load = torch.special.ndtr((scores - last) / deviation).sum(0)
        return (_variation(scores.sum(0)) + _variation(load)) / 2

    def reset_parameters(self) -> None:
        """Initialise parameters that are not of linear layers."""

    def extra_repr(self) -> str:
        """Return the settings, for `print(model)`."""
        return (
            f'num_experts={self.num_experts}, top_value={self.top_value}, '
            f'capacity_factor={self.capacity_factor}, '
            f'eval_capacity_factor={self.eval_capacity_factor}'
        )


class LinearRouter(Router):
    """A router whose logits are those of a linear layer.

    Args:
        dim: Channels C.
        num_experts: Number of experts E.
        kwargs: Other arguments of `Router`.
    """

    def __init__(self, dim: int, num_experts: int, **kwargs: Any) -> None:
        super().__init__(num_experts, **kwargs)
        self.wg = nn.Linear(dim, num_experts, bias=False)

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits `(T, E)` of tokens `(T, C)`."""
        return F.linear(x, self.wg.weight.to(x.dtype))


class CosineRouter(Router):
    """A router whose logits are scaled cosines.

    Tokens are projected to `projection_dim` channels. The logit of an expert
    is the cosine between the projected token and a learned vector, times a
    learned factor, which is at most 100.

    Args:
        dim: Channels C.
        num_experts: Number of experts E.
        projection_dim: Channels of the projection.
        init_temperature: One over the factor that training starts from.
        kwargs: Other arguments of `Router`.
    """

    def __init__(
        self,
        dim: int,
        num_experts: int,
        projection_dim: int = 256,
        init_temperature: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_experts, **kwargs)
        self.init_temperature = init_temperature
        self.cosine_projector = nn.Linear(dim, projection_dim)
        self.sim_matrix = nn.Parameter(
            torch.empty(projection_dim, num_experts)
        )
        self.temperature = nn.Parameter(torch.empty(1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the vectors of the experts and the factor."""
        nn.init.normal_(self.sim_matrix, std=0.01)
        nn.init.constant_(self.temperature, -log(self.init_temperature))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits `(T, E)` of tokens `(T, C)`."""
        projector = self.cosine_projector
        x = F.linear(
            x, projector.weight.to(x.dtype), projector.bias.to(x.dtype)
        )
        directions = F.normalize(self.sim_matrix.to(x.dtype), dim=0)
        scale = self.temperature.to(x.dtype).clamp(max=_MAX_LOG_SCALE).exp()
        return F.normalize(x, dim=1) @ directions * scale


def _variation(x: Tensor) -> Tensor:
    """Return the squared coefficient of variation of a vector."""
    return x.var() / (x.mean().square() + _EPSILON)
