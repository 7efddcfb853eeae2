"""Swin-MoE against a slow version written from its definition."""

import pytest
import torch
from mmengine.registry import MODELS

from helpers import reference, slow_experts
from helpers.kernel_sets import CASES, using
from helpers.models import randomize
from helpers.reference import assert_close
from helpers.slow_pyramid import below, mlp, norm, pyramid
from swin_dense.backbones import CompositeBackbone, SwinMoE
from swin_dense.backbones.swin_moe import take_auxiliary_loss
from swin_dense.engine.compile import compile_backbone

# The programs of Triton have no float64.
IN_FLOAT64 = [case for case in CASES if case != 'triton']
SIZES = dict(embed_dims=8, depths=(1, 2, 3), num_heads=(1, 2, 4))
EXPERTS = 4


def make(**kwargs):
    settings = dict(
        arch=SIZES, num_experts=EXPERTS, window_size=3, drop_path_rate=0.0
    )
    model = randomize(SwinMoE(**{**settings, **kwargs}))
    return model.double().eval()


def slow_block(model, k=1, factor=0.0, normalize=False, by_score=True):
    """The block of a model, and a list that gets the choices of experts."""
    assignments = []

    def run(state, x, stage, number):
        block = model.layers[stage].blocks[number]
        layout = [
            model.layers[stage]._layout(tuple(x.shape[1:3]), shift)
            for shift in ((0, 0), (1, 1))
        ][number % 2]
        h = norm(state, 'norm1', x)
        h = torch.stack(
            [
                reference.window_attention(
                    image, block.attn, layout.window, layout.shift, True
                )
                for image in h
            ]
        )
        x = x + h
        h = norm(state, 'norm2', x)
        if 'mlp.fc1.weight' in state:
            return x + mlp(state, h)
        out, chosen = slow_experts.expert_layer(
            below(state, 'mlp._moe_layer.gates.0.'),
            below(state, 'mlp._moe_layer.experts.'),
            h.flatten(0, 2),
            k,
            factor,
            normalize,
            by_score,
        )
        assignments.append(chosen)
        return x + out.view_as(x)

    return run, assignments


# Whole windows; a merging of odd sides, and maps below the window.
@pytest.mark.parametrize('size', [(24, 24), (28, 20)])
@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(eval_capacity_factor=0.75),
        dict(
            top_value=2,
            normalize_gate=True,
            use_bpr=False,
            mlp_fc2_bias=True,
            eval_capacity_factor=0.75,
        ),
        dict(cosine_router=True, cosine_router_dim=5),
        dict(pretrained_window_sizes=[5, 5, 2]),
    ],
    ids=['top 1', 'limit', 'top 2', 'cosine', 'pretrained window'],
)
def test_outputs_are_those_of_the_definition(settings, size):
    torch.manual_seed(2)
    model = make(**settings)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    run, assignments = slow_block(
        model,
        settings.get('top_value', 1),
        settings.get('eval_capacity_factor', 0.0),
        settings.get('normalize_gate', False),
        settings.get('use_bpr', True),
    )
    routings = []
    for layer in model.expert_layers:
        layer.router.register_forward_hook(
            lambda module, inputs, output: routings.append(output)
        )
    with torch.no_grad():
        outputs = model(image)
        expected = pyramid(model.state_dict(), image, SIZES['depths'], run)
    for out, other in zip(outputs, expected):
        assert out.is_contiguous()
        assert_close(out, other, 1e-10)
    assert [r.assignments.tolist() for r in routings] == assignments
    assert len(assignments) == 2
    is_limited = 'eval_capacity_factor' in settings
    assert any(-1 in row for row in sum(assignments, [])) == is_limited


@pytest.mark.parametrize('name', IN_FLOAT64)
def test_kernels_give_equal_results(name):
    model = make(eval_capacity_factor=1.0)
    image = torch.randn(2, 3, 40, 28, dtype=torch.float64)
    results = {}
    for kernel_set in ('plain', name):
        with using(kernel_set):
            with torch.no_grad():
                quick = model(image)
            model.zero_grad()
            outputs = model(image)
            sum(out.square().sum() for out in outputs).backward()
        results[kernel_set] = [
            *quick,
            *outputs,
            *(p.grad for p in model.parameters() if p.requires_grad),
        ]
    for expected, actual in zip(results['plain'], results[name]):
        assert_close(actual, expected, 1e-9)


@pytest.mark.parametrize('name', IN_FLOAT64)
def test_an_image_does_not_depend_on_its_batch(name):
    model = make()
    images = torch.randn(3, 3, 40, 28, dtype=torch.float64)
    with using(name), torch.no_grad():
        batch = model(images)
        alone = model(images[1:2])
        for together, single in zip(batch, alone):
            assert_close(together[1:2], single, 1e-12)
        # The official rule has a limit for the batch.
        for layer in model.expert_layers:
            layer.router.eval_capacity_factor = 0.5
        limited = model(images)
        assert (limited[2][1:2] - model(images[1:2])[2]).abs().max() > 1e-3


@pytest.mark.parametrize(
    'arch, experts, millions',
    [
        ('small', 0, 65.76),
        ('small', 8, 173.3),
        ('small', 16, 296.1),
        ('small', 32, 541.8),
        ('small', 64, 1033.2),
        ('small', 128, 2016.0),
        ('base', 0, 109.28),
        ('base', 8, 300.3),
        ('base', 16, 518.7),
        ('base', 32, 955.3),
        ('base', 64, 1828.6),
        ('base', 128, 3575.3),
    ],
)
def test_parameter_count(arch, experts, millions):
    """Counts of classifiers of 21841 classes."""
    with torch.device('meta'):
        model = MODELS.build(
            dict(type='swin_dense.SwinMoE', arch=arch, num_experts=experts)
        )
    count = classifier_count(model, 21841, frozen=False) / 1e6
    assert round(count, 2 if experts == 0 else 1) == millions
    blocks = [
        name.split('.mlp')[0]
        for name, _ in model.named_modules()
        if name.endswith('_moe_layer')
    ]
    expected = [f'layers.2.blocks.{i}' for i in range(1, 18, 2)]
    expected.append('layers.3.blocks.1')
    assert blocks == (expected if experts else [])


@pytest.mark.parametrize(
    'settings, expected',
    [
        (
            dict(num_experts=8, cosine_router=True, cosine_router_dim=64),
            15_587_958,
        ),
        (dict(num_experts=4), 9_642_484),
        (
            dict(
                num_experts=4,
                top_value=2,
                mlp_fc2_bias=True,
                is_gshard_loss=True,
            ),
            9_643_348,
        ),
    ],
)
def test_parameter_count_of_official_models(settings, expected):
    """Counts of models that were built by the official code."""
    arch = dict(embed_dims=48, depths=(2,) * 4, num_heads=(3, 6, 12, 24))
    with torch.device('meta'):
        model = SwinMoE(arch, **settings)
    assert classifier_count(model, 100) == expected


def classifier_count(model, classes, frozen=True):
    count = sum(
        p.numel() for p in model.parameters() if frozen or p.requires_grad
    )
    *early, last = model.channels
    return count - 2 * sum(early) + classes * (last + 1)


def expected_loss(model, image):
    """The loss of a training pass, from the routings of its layers."""
    total, seen = 0.0, []
    for layer in model.expert_layers:
        layer.router.register_forward_hook(
            lambda module, inputs, output: seen.append((module, output))
        )
    torch.manual_seed(3)
    model(image)
    for router, routing in seen:
        total += slow_experts.load_importance_loss(
            routing.logits,
            routing.noisy_logits,
            routing.experts.tolist(),
            router.gate_noise,
        )
    return 0.01 * total


@pytest.mark.parametrize('with_cp', [False, True])
def test_auxiliary_loss_is_counted_once(with_cp):
    model = make(with_cp=with_cp).train()
    image = torch.randn(2, 3, 40, 28, dtype=torch.float64)
    assert take_auxiliary_loss(model) is None
    torch.manual_seed(3)
    outputs = model(image)
    loss = take_auxiliary_loss(model)
    assert take_auxiliary_loss(model) is None
    (sum(out.square().sum() for out in outputs) + loss).backward()
    # Recomputation has left nothing.
    assert take_auxiliary_loss(model) is None
    assert loss.item() == pytest.approx(expected_loss(model, image), rel=1e-9)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.abs().sum() > 0, name


def test_checkpointing_changes_no_gradient():
    plain, saving = make().train(), make(with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 40, 28, dtype=torch.float64)
    for model in (plain, saving):
        torch.manual_seed(4)
        outputs = model(image)
        loss = sum(out.square().sum() for out in outputs)
        (loss + 1e3 * take_auxiliary_loss(model)).backward()
    for first, second in zip(plain.parameters(), saving.parameters()):
        if first.requires_grad:
            assert_close(first.grad, second.grad, 1e-8)


def test_no_loss_in_evaluation_or_without_gradients():
    model = make()
    image = torch.randn(1, 3, 24, 24, dtype=torch.float64)
    model(image)
    assert take_auxiliary_loss(model) is None
    model.train()
    with torch.no_grad():
        model(image)
    assert take_auxiliary_loss(model) is None
    frozen = make(frozen_stages=3).train()
    frozen(image)
    assert take_auxiliary_loss(frozen) is None


def test_losses_of_several_passes_are_added():
    model = make().train()
    image = torch.randn(1, 3, 24, 24, dtype=torch.float64)
    losses = []
    for _ in range(2):
        torch.manual_seed(5)
        model(image)
        losses.append(take_auxiliary_loss(model))
    torch.manual_seed(5)
    model(image)
    torch.manual_seed(5)
    model(image)
    assert_close(take_auxiliary_loss(model), sum(losses), 1e-12)


def test_experts_in_a_composite_backbone():
    config = dict(
        type='swin_dense.SwinMoE',
        arch=SIZES,
        num_experts=EXPERTS,
        window_size=3,
    )
    model = CompositeBackbone([dict(config), dict(config)]).train()
    outputs = model(torch.randn(1, 3, 24, 24))
    assert [out.shape[1] for out in outputs] == [8, 16, 32]
    assert all(len(member._losses) == 1 for member in model.cb_modules)
    assert take_auxiliary_loss(model).item() > 0
    assert take_auxiliary_loss(model) is None


def test_initialisation():
    model = SwinMoE(dict(SIZES, embed_dims=32), num_experts=8)
    model.init_weights()
    experts = model.expert_layers[0].experts
    assert 0.0045 < experts.batched_fc1_w.std() < 0.0055
    assert 0.0045 < experts.batched_fc2_w.std() < 0.0055
    assert not experts.batched_fc1_bias.any()
    assert 0.0045 < model.layers[0].blocks[0].attn.qkv.weight.std() < 0.0055
    dense = SwinMoE(dict(SIZES, embed_dims=32), num_experts=0)
    dense.init_weights()
    assert 0.018 < dense.layers[0].blocks[0].attn.qkv.weight.std() < 0.022
    cosine = SwinMoE(SIZES, cosine_router=True)
    cosine.init_weights()
    router = cosine.expert_layers[0].router
    assert router.temperature.item() == pytest.approx(0.6931472)
    assert 0.009 < router.sim_matrix.std() < 0.011


def test_bad_arguments():
    with pytest.raises(TypeError, match="'num_local_experts'"):
        SwinMoE(num_local_experts=1)
    with pytest.raises(ValueError, match='block numbers from 0'):
        SwinMoE(SIZES, moe_blocks=[[], [], [3]])
    with pytest.raises(ValueError, match='without experts'):
        SwinMoE(SIZES, num_experts=0, moe_blocks=[[], [], [1]])
    model = SwinMoE(SIZES, moe_blocks=[[-1], [0], [-1]])
    assert model.layers[1].blocks[0].mlp in model.expert_layers
    assert len(model.expert_layers) == 1


def test_compilation_is_refused_with_the_reason():
    with pytest.raises(ValueError, match='tokens of an expert depend on'):
        compile_backbone(make(), 'eager')


def test_experts_have_the_depth_of_their_block():
    model = make()
    name = 'backbone.layers.1.blocks.1.mlp._moe_layer.experts.batched_fc1_w'
    assert model.get_layer_depth(name, 'backbone.') == (3, 8)
