"""Learning rates that depend on the depth of a parameter."""

import pytest
from torch import nn

from helpers.models import TWO_STAGES
from swin_dense.backbones import SwinTransformer
from swin_dense.engine.layer_decay import LayerDecayConstructor

OPTIMIZER = dict(optimizer=dict(type='SGD', lr=1.0))


class Model(nn.Module):
    """A backbone of blocks 1 and 2 in the first stage, 3 in the second."""

    def __init__(self):
        super().__init__()
        self.backbone = SwinTransformer(
            **TWO_STAGES, window_size=3, out_indices=(0, 1)
        )
        self.head = nn.Linear(16, 2)


def rates(**paramwise_cfg):
    """Return the learning rate of each parameter by its name."""
    model = Model()
    build = LayerDecayConstructor(OPTIMIZER, paramwise_cfg)
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(parameter)]: group['lr']
        for group in build(model).optimizer.param_groups
        for parameter in group['params']
    }


def test_rates_halve_from_block_to_block():
    by_name = rates(layer_decay_rate=0.5)
    expected = {
        'head.weight': 1.0,
        'backbone.norm1.weight': 1.0,
        'backbone.layers.1.blocks.0.norm1.weight': 0.5,
        'backbone.layers.0.downsample.reduction.weight': 0.25,
        'backbone.layers.0.blocks.1.norm1.weight': 0.25,
        'backbone.layers.0.blocks.0.norm1.weight': 0.125,
        'backbone.patch_embed.proj.weight': 0.0625,
    }
    assert {name: by_name[name] for name in expected} == expected


def test_the_backbone_can_have_another_factor():
    by_name = rates(layer_decay_rate=1.0, backbone_lr_mult=0.1)
    assert {name.split('.')[0]: rate for name, rate in by_name.items()} == {
        'backbone': 0.1,
        'head': 1.0,
    }


@pytest.mark.parametrize(
    'settings, message',
    [
        (
            dict(bypass_duplicate=True),
            'needs layer_decay_rate, above 0 and at most 1, got None',
        ),
        # mmengine does not group parameters if there are no settings.
        (dict(), 'needs layer_decay_rate, above 0 and at most 1, got None'),
        (dict(layer_decay_rate=1.5), 'at most 1, got 1.5'),
        (
            dict(layer_decay_rate=0.9, backbone_lr_mult=-1),
            'must be a number not below 0, got -1',
        ),
        (
            dict(layer_decay_rate=0.9, norm_decay=0),
            r"no setting 'norm_decay' \(did you mean 'norm_decay_mult'\?\)",
        ),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        rates(**settings)


def test_an_optimizer_without_learning_rate_is_refused():
    with pytest.raises(ValueError, match='no lr, .* set optim_wrapper'):
        LayerDecayConstructor(
            dict(optimizer=dict(type='SGD')), dict(layer_decay_rate=0.9)
        )


def test_a_model_without_a_swin_backbone_is_refused():
    build = LayerDecayConstructor(OPTIMIZER, dict(layer_decay_rate=0.9))
    with pytest.raises(ValueError, match='Swin backbone .* got Linear'):
        build(nn.Linear(2, 2))
