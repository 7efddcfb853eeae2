"""Attention maps are the attention that a model computes, put in place."""

import pytest
import torch
from torch import nn

from helpers.models import make, randomize
from swin_dense import kernels
from swin_dense.analysis import attention_maps
from swin_dense.analysis.attention_maps import (
    AttentionRecord,
    record_attention,
)
from swin_dense.backbones import (
    CompositeBackbone,
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
)
from swin_dense.layers import WindowAttention
from swin_dense.ops import (
    HARD_MASK_VALUE,
    OFFICIAL_MASK_VALUE,
    WindowLayout,
    cut_windows,
    join_windows,
)

EXACT = dict(rtol=0, atol=1e-12)  # float64, sums in another order
MINI = dict(
    embed_dims=8, depths=(2, 1, 4, 1), blocks=(1, 1, 2, 1), num_heads=(2,) * 4
)
# Odd sizes, so that maps are padded to windows.
IMAGE, CLIP = (1, 3, 52, 76), (1, 3, 6, 36, 52)
CASES = {
    'v1': (SwinTransformer, dict(window_size=4), IMAGE),
    'v1-masked': (
        SwinTransformer,
        dict(window_size=4, mask_padding=True),
        IMAGE,
    ),
    'v2': (SwinTransformerV2, dict(window_size=4), IMAGE),
    'moe': (SwinMoE, dict(window_size=4, num_experts=2), IMAGE),
    'mini': (MiniSwin, dict(arch=MINI, window_size=4), IMAGE),
    'video': (SwinTransformer3D, dict(window_size=(2, 4, 4)), CLIP),
    'video-v2': (SwinTransformerV2_3D, dict(window_size=(2, 4, 4)), CLIP),
}


@pytest.fixture(params=CASES)
def backbone_and_input(request):
    cls, arguments, shape = CASES[request.param]
    x = torch.randn(shape, dtype=torch.float64)
    return make(cls, **arguments).double().eval(), x


def output_of_mixers(backbone, x, stage):
    """Return what each attention of a stage returns, in order of calls."""
    outputs = []
    mixers = {block.mixer for block in backbone.layers[stage].blocks}
    hooks = [
        mixer.register_forward_hook(lambda *call: outputs.append(call[2]))
        for mixer in mixers
    ]
    with torch.no_grad(), kernels.use('plain'):
        backbone(x)
    for hook in hooks:
        hook.remove()
    return outputs


def values_of(record):
    """Return the values of all windows `(K, heads, N, D)`."""
    mixer = record.mixer
    windows = cut_windows(record.x, record.layout)  # (K, N, C)
    v = mixer.qkv(windows).chunk(3, -1)[2]
    if getattr(mixer, 'v_bias', None) is not None:
        v = v + mixer.v_bias
    return v.unflatten(-1, (mixer.num_heads, -1)).transpose(1, 2)


@torch.no_grad()
@pytest.mark.parametrize('stage, block', [(0, 0), (0, 1), (2, 1)])
def test_weights_times_values_are_the_output(backbone_and_input, stage, block):
    backbone, x = backbone_and_input
    outputs = output_of_mixers(backbone, x, stage)
    record = record_attention(backbone, x, stage, block)
    if stage == 0:
        assert any(record.layout.shift) == (block == 1)
    weights = record.window_weights(slice(None))
    mixed = (weights @ values_of(record)).transpose(1, 2).flatten(2)
    mixed = join_windows(record.mixer.proj(mixed), record.layout)
    torch.testing.assert_close(mixed, outputs[block], **EXACT)


@torch.no_grad()
def test_weights_of_a_query_add_up_to_1(backbone_and_input):
    backbone, x = backbone_and_input
    record = record_attention(backbone, x, 0, 1)
    if isinstance(backbone, MiniSwin):
        pytest.skip('Mini-Swin mixes heads after the softmax')
    last = [size - 1 for size in record.grid]
    for token in ([0] * len(last), last, [size // 2 for size in last]):
        weights, padding = record.of_query(token)
        assert weights.shape == (record.mixer.num_heads, *record.grid)
        total = weights.flatten(1).sum(1) + padding
        torch.testing.assert_close(total, torch.ones_like(total), **EXACT)


@torch.no_grad()
def test_received_is_the_sum_over_all_queries(backbone_and_input, monkeypatch):
    backbone, x = backbone_and_input
    record = record_attention(backbone, x, 2, 1)
    monkeypatch.setattr(attention_maps, 'AT_ONCE', 1)  # window by window
    total = sum(
        record.of_query(place.tolist())[0]
        for place in torch.ones(record.grid).nonzero()
    )
    torch.testing.assert_close(record.received(), total, **EXACT)


def uniform(grid, window, shift, **settings):
    """Return a record of attention whose weights are all alike."""
    attention = WindowAttention(4, window, 2).double()
    for parameter in attention.parameters():
        nn.init.zeros_(parameter)
    layout = WindowLayout(grid, window, shift, **settings)
    return AttentionRecord(
        attention, torch.randn(1, *grid, 4).double(), layout
    )


def test_each_weight_is_at_its_token_by_hand():
    """A map of 3 x 5 in windows of 2 x 2, shifted by 1, padded to 4 x 6.

    The first window begins at row 1, column 1. The last windows hold tokens of
    opposite sides, which do not see each other.
    """
    record = uniform((3, 5), (2, 2), (1, 1), mask_value=HARD_MASK_VALUE)
    assert record.places().tolist() == [
        [6, 7, 11, 12],
        [8, 9, 13, 14],
        [-1, 5, -1, 10],
        [-1, -1, 1, 2],
        [-1, -1, 3, 4],
        [-1, -1, -1, 0],
    ]
    weights, padding = record.of_query((1, 2))
    expected = torch.zeros(3, 5).double()
    expected[1:3, 1:3] = 0.25
    torch.testing.assert_close(weights[0], expected, **EXACT)
    assert padding.tolist() == [0, 0]
    # Token 5 is in the third window: column 0, beside padding of column 5.
    weights, padding = record.of_query((1, 0))
    expected = torch.zeros(3, 5).double()
    expected[1:, 0] = 0.5
    torch.testing.assert_close(weights[1], expected, **EXACT)
    assert padding.tolist() == [0, 0]
    # The first row is beside padding of the last row, across the border.
    weights, _ = record.of_query((0, 1))
    expected = torch.zeros(3, 5).double()
    expected[0, 1:3] = 0.5
    torch.testing.assert_close(weights[1], expected, **EXACT)
    torch.testing.assert_close(
        record.received(), torch.ones(2, 3, 5).double(), **EXACT
    )


def test_padding_that_is_seen_gets_its_share():
    """As in the official dense code of V1, unless padding is masked."""
    record = uniform((3, 3), (2, 2), (0, 0), mask_value=OFFICIAL_MASK_VALUE)
    weights, padding = record.of_query((2, 2))
    assert weights[0, 2, 2] == 0.25 and weights[0].sum() == 0.25
    assert padding.tolist() == [0.75, 0.75]
    masked = record.layout._replace(
        mask_padding=True, mask_value=HARD_MASK_VALUE
    )
    masked = AttentionRecord(record.mixer, record.x, masked)
    weights, padding = masked.of_query((2, 2))
    assert weights[0, 2, 2] == 1 and padding.tolist() == [0, 0]


def test_three_axes_by_hand():
    record = uniform(
        (4, 3, 2), (2, 2, 2), (1, 0, 0), mask_value=HARD_MASK_VALUE
    )
    weights, padding = record.of_query((2, 0, 1))
    expected = torch.zeros(4, 3, 2).double()
    expected[1:3, :2] = 1 / 8
    torch.testing.assert_close(weights[0], expected, **EXACT)
    # Time 0 is alone: time 3 is in its window, but across the border.
    weights, padding = record.of_query((0, 2, 0))
    expected = torch.zeros(4, 3, 2).double()
    expected[0, 2] = 1 / 4
    torch.testing.assert_close(weights[0], expected, **EXACT)
    assert padding.tolist() == [0.5, 0.5]


def test_runs_of_mini_swin_count_as_blocks():
    backbone = make(MiniSwin, MINI, window_size=4).double().eval()
    x = torch.randn(IMAGE, dtype=torch.float64)
    records = [record_attention(backbone, x, 2, block) for block in range(4)]
    first, second, third, _ = records
    assert first.mixer is second.mixer and third.mixer is not first.mixer
    assert first.head_mixers.logits is not second.head_mixers.logits


def test_the_lead_of_a_composite_backbone_is_shown():
    narrow = dict(
        type='swin_dense.SwinTransformer',
        embed_dims=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        window_size=4,
    )
    backbone = randomize(CompositeBackbone([narrow, dict(narrow)])).eval()
    record = record_attention(backbone, torch.randn(IMAGE), 0, 0)
    assert record.mixer is backbone.lead.layers[0].blocks[0].attn


@pytest.mark.parametrize(
    'stage, block, message',
    [
        (
            0,
            2,
            'there is no block 0.2 .*blocks of this SwinTransformer are 0.',
        ),
        (4, 0, 'there is no block 4.0'),
        (-1, 0, 'there is no block -1.0'),
    ],
)
def test_other_blocks_are_refused(stage, block, message):
    with pytest.raises(ValueError, match=message):
        record_attention(
            make(SwinTransformer), torch.randn(1, 3, 8, 8), stage, block
        )


def test_mixers_without_attention_are_refused_by_name():
    backbone = make(SwinMLP, window_size=4)
    with pytest.raises(
        ValueError, match='SwinMLP mix tokens by SpatialMLP.*same for every'
    ):
        record_attention(backbone, torch.randn(IMAGE), 0, 0)


def test_other_backbones_and_batches_are_refused():
    with pytest.raises(ValueError, match='this one is a Conv2d'):
        record_attention(nn.Conv2d(3, 8, 3), torch.randn(IMAGE), 0, 0)
    with pytest.raises(ValueError, match='of one input, got 2'):
        record_attention(make(SwinTransformer), torch.randn(2, 3, 8, 8), 0, 0)


def test_tokens_outside_of_the_map_are_refused():
    record = uniform((3, 5), (2, 2), (0, 0))
    with pytest.raises(ValueError, match='has 3x5 tokens, so there is no'):
        record.of_query((3, 0))
