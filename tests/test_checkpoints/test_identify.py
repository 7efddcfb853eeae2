"""Members of the family are identified from shapes alone."""

import pytest
import torch

from helpers.layouts import FAMILIES, PUBLISHED, shapes
from helpers.state_dicts import native
from swin_dense.checkpoints.identify import describe, identify
from swin_dense.checkpoints.layouts.translate import EVERYTHING, read_backbone
from swin_dense.ops import relative_index


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_models(name):
    model = PUBLISHED[name]
    text = describe(shapes(model))
    assert text.startswith(f'{name} (embed_dims {model.width}, depths ')
    variant = identify(shapes(model))
    assert variant.family == model.family
    assert variant.embed_dims == model.width
    assert variant.depths == model.depths
    assert variant.num_heads == model.heads
    # Only the buffers of V2 imply its window.
    if model.family in ('v2', 'moe'):
        assert variant.window is None
        assert identify(shapes(model, buffers=True)).window == model.window
    else:
        assert variant.window == model.window


def test_descriptions():
    assert describe(shapes(PUBLISHED['Swin-L'])) == (
        'Swin-L (embed_dims 192, depths 2-2-18-2, heads 6-12-24-48, window 7)'
    )
    assert describe(shapes(PUBLISHED['Video Swin-T'])).endswith(
        'heads 3-6-12-24, window 8x7x7)'
    )
    assert describe(shapes(PUBLISHED['Swin-MoE-S'])).endswith(
        'heads 3-6-12-24, 8 experts)'
    )
    assert describe(native()).startswith('a Swin of no published size (')
    assert describe({'conv1.weight': torch.empty(0)}) is None


def test_a_window_that_is_not_square():
    path = 'layers.0.blocks.0.attn.relative_position_'
    weights = shapes(PUBLISHED['Swin-T'])
    # 15 * 7 offsets: 8 by 4 tokens, or 4 by 8, or 53 by 1, ...
    weights[f'{path}bias_table'] = torch.empty(105, 3)
    assert 'window' not in describe(weights)
    weights[f'{path}index'] = relative_index((4, 8))
    assert describe(weights).endswith('window 4x8)')


def test_everything_includes_buffers():
    weights = shapes(PUBLISHED['Swin V2-T'], buffers=True)
    converted = read_backbone(weights, keep=EVERYTHING)
    assert converted.dropped == []
    assert describe(converted.weights).endswith('window 8)')
    assert 'window' not in describe(read_backbone(weights).weights)


def test_every_family_is_published():
    assert {model.family for model in PUBLISHED.values()} == set(FAMILIES)
