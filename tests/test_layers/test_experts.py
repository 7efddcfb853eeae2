"""Router and experts against slow versions of their definition."""

import pytest
import torch

from helpers import slow_experts
from helpers.models import randomize
from helpers.reference import assert_close
from helpers.slow_pyramid import below
from swin_dense.layers import (
    CosineRouter,
    ExpertFeedForward,
    Experts,
    LinearRouter,
)

TOKENS, DIM, EXPERTS = 37, 6, 4
ROUTERS = {
    'linear': LinearRouter,
    'cosine': lambda *args, **kwargs: CosineRouter(
        *args, projection_dim=5, **kwargs
    ),
}


def make_layer(router='linear', experts=EXPERTS, fc2_bias=True, **kwargs):
    layer = ExpertFeedForward(
        ROUTERS[router](DIM, experts, **kwargs),
        Experts(experts, DIM, 4 * DIM, fc2_bias=fc2_bias),
    )
    return randomize(layer).double().eval()


def states(layer):
    state = layer.state_dict()
    return (
        below(state, '_moe_layer.gates.0.'),
        below(state, '_moe_layer.experts.'),
    )


def tokens(count=TOKENS):
    return torch.randn(count, DIM, dtype=torch.float64)


@pytest.mark.parametrize('use_bpr', [True, False])
@pytest.mark.parametrize('factor', [0, 0.5, 1.25, -1.25])
@pytest.mark.parametrize('normalize', [True, False])
@pytest.mark.parametrize('k', [1, 2, 3])
@pytest.mark.parametrize('router', ROUTERS)
def test_layer_is_that_of_the_definition(
    router, k, normalize, factor, use_bpr
):
    layer = make_layer(
        router,
        top_value=k,
        eval_capacity_factor=factor,
        normalize_gate=normalize,
        use_bpr=use_bpr,
    )
    x = tokens()
    expected, chosen = slow_experts.expert_layer(
        *states(layer), x, k, abs(factor), normalize, use_bpr
    )
    assert_close(layer(x.view(1, 1, *x.shape))[0, 0], expected, 1e-12)
    routing = layer.router(x)
    assert routing.assignments.tolist() == chosen
    if factor in (0, 0.5):  # 0.5: half of the choices at most
        assert (factor == 0.5) == any(-1 in row for row in chosen)


@pytest.mark.parametrize(
    'count, experts, k, factor, expected',
    [
        # Two images of 192 pixels: maps of 12 and 6 tokens.
        (288, 4, 1, 1.25, 90),
        (72, 4, 1, 1.25, 22),
        (288, 4, 2, 1.25, 180),
        (72, 4, 2, 1.25, 44),
        (288, 8, 1, 1.25, 45),
        (72, 8, 1, 1.25, 11),
        (73, 8, 1, 1.0, 10),
        (73, 8, 1, 0.0, None),
    ],
)
def test_capacity(count, experts, k, factor, expected):
    router = LinearRouter(
        DIM, experts, top_value=k, capacity_factor=factor
    ).train()
    assert router(torch.randn(count, DIM)).capacity == expected


def test_first_choices_have_priority_over_second_ones():
    """One expert is the first choice of some and the second of others."""
    router = LinearRouter(2, 2, top_value=2, eval_capacity_factor=1.0).eval()
    with torch.no_grad():
        router.wg.weight.copy_(torch.eye(2))
    routing = router(torch.tensor([[3.0, 0], [9.0, 0], [0, 1.0]]))
    assert routing.experts.tolist() == [[0, 1], [0, 1], [1, 0]]
    # By score: token 1, token 0, token 2; then the second choices.
    assert routing.positions.tolist() == [[1, 2], [0, 1], [0, 2]]
    assert routing.capacity == 4
    in_order = LinearRouter(2, 2, use_bpr=False, eval_capacity_factor=0.5)
    in_order.load_state_dict(router.state_dict())
    routing = in_order.eval()(torch.tensor([[3.0, 0], [9.0, 0], [0, 1.0]]))
    assert routing.positions.tolist() == [[0], [1], [0]]
    assert routing.assignments.tolist() == [[0], [-1], [1]]


@pytest.mark.parametrize('noise', [0.5, 1.0])
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('k', [1, 2])
@pytest.mark.parametrize('gshard', [True, False])
@pytest.mark.parametrize('router', ROUTERS)
def test_losses_are_those_of_the_definition(
    router, gshard, k, training, noise
):
    layer = make_layer(
        router, top_value=k, is_gshard_loss=gshard, gate_noise=noise
    )
    router = layer.router.train(training)
    x = tokens()
    torch.manual_seed(1)
    routing = router(x)
    logits = slow_experts.router_logits(states(layer)[0], x)
    torch.manual_seed(1)
    noisy = logits
    if training:
        noisy = logits + noise * torch.randn_like(logits) / EXPERTS
    assert_close(routing.logits, logits, 1e-12)
    assert_close(routing.noisy_logits, noisy, 1e-12)
    experts, _ = slow_experts.choose(noisy.softmax(1), k, False)
    assert routing.experts.tolist() == experts
    if gshard:
        expected = slow_experts.gshard_loss(noisy, experts)
    else:
        expected = slow_experts.load_importance_loss(
            logits, noisy, experts, noise
        )
    assert router.auxiliary_loss(routing).item() == pytest.approx(
        expected, rel=1e-10
    )


def test_even_use_of_experts_has_no_loss_of_importance():
    router = LinearRouter(2, 2, is_gshard_loss=True).eval()
    with torch.no_grad():
        router.wg.weight.copy_(torch.eye(2))
    even = router(torch.tensor([[2.0, 0], [0, 2.0]]))
    uneven = router(torch.tensor([[2.0, 0], [2.0, 0]]))
    assert router.auxiliary_loss(even).item() == pytest.approx(1.0)
    assert router.auxiliary_loss(uneven).item() > 1.7


@pytest.mark.parametrize('gshard', [True, False])
@pytest.mark.parametrize('router', ROUTERS)
def test_gradients(router, gshard):
    """Numerical gradients; the choice of experts stays the same."""
    layer = make_layer(
        router,
        top_value=2,
        is_gshard_loss=gshard,
        normalize_gate=True,
        eval_capacity_factor=0.75,
    )
    names = list(dict(layer.named_parameters()))
    x = tokens(7).requires_grad_()

    def run(x, *values):
        routing_state = dict(zip(names, values))
        out = torch.func.functional_call(layer, routing_state, (x,))
        gate = {
            name.removeprefix('_moe_layer.gates.0.'): value
            for name, value in routing_state.items()
            if '.gates.' in name
        }
        routing = torch.func.functional_call(layer.router, gate, (x,))
        return out, layer.router.auxiliary_loss(routing)

    values = [p.detach().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_dropout_is_inside_of_the_experts():
    layer = make_layer(gate_noise=0.0, is_gshard_loss=True)
    layer.experts.drop.p = 0.999999
    x = tokens()
    layer.router.eval_capacity_factor = 0
    layer.router.capacity_factor = 0
    routing = layer.train().router(x)
    bias = layer.experts.batched_fc2_bias[routing.experts[:, 0]]
    assert_close(layer(x), routing.gates * bias, 1e-12)


def test_frozen_bias():
    layer = make_layer(fc2_bias=False)
    bias = layer.experts.batched_fc2_bias
    assert not bias.requires_grad
    assert make_layer().experts.batched_fc2_bias.requires_grad


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_the_router_is_computed_in_float32(dtype):
    layer = make_layer().to(dtype)
    x = tokens().to(dtype)
    routing = layer.router(x)
    assert routing.logits.dtype == routing.gates.dtype == torch.float32
    assert layer(x).dtype == dtype
    with torch.autocast('cpu', torch.bfloat16):
        routing = layer.float().router(x.float())
        assert routing.logits.dtype == torch.float32
        assert layer(x.float()).dtype == torch.float32


def test_bad_arguments():
    with pytest.raises(ValueError, match='at least 2 experts'):
        LinearRouter(DIM, 1)
    with pytest.raises(ValueError, match='between 1 and num_experts=4'):
        LinearRouter(DIM, 4, top_value=5)
    with pytest.raises(ValueError, match='gate_noise must be above 0'):
        LinearRouter(DIM, 4, gate_noise=0.0)
