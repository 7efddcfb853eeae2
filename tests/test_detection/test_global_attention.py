"""Global self-attention equals a slow version and starts as identity."""

import pytest
import torch
from mmdet.models.necks import FPN
from mmengine.registry import MODELS as ROOT_MODELS

from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.detection.global_attention import (
    GlobalAttention,
    GlobalAttentionFPN,
)

TOLERANCE = 1e-5
CHANNELS = [8, 16, 64]


def pyramid(batch=2, height=24, width=40):
    return tuple(
        torch.randn(batch, channels, height >> level, width >> level)
        for level, channels in enumerate(CHANNELS)
    )


def neck(**changes):
    return GlobalAttentionFPN(CHANNELS, out_channels=8, num_outs=4, **changes)


def slow_block(block, x):
    """Compute the block for one query at a time."""
    batch, channels, height, width = x.shape
    out = torch.empty_like(x)
    size = channels // block.num_heads
    for b in range(batch):
        tokens = x[b].flatten(1).T  # (N, C)
        query, key, value = block.qkv(block.norm1(tokens)).chunk(3, dim=1)
        mixed = torch.empty_like(tokens)
        for head in range(block.num_heads):
            part = slice(head * size, (head + 1) * size)
            for n in range(len(tokens)):
                weights = (key[:, part] @ query[n, part] / size**0.5).softmax(
                    0
                )
                mixed[n, part] = weights @ value[:, part]
        tokens = tokens + block.proj(mixed)
        if block.mlp is not None:
            tokens = tokens + block.mlp(block.norm2(tokens))
        out[b] = tokens.T.reshape(channels, height, width)
    return out


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(num_heads=1),
        dict(num_heads=4, mlp_ratio=0),
        dict(mlp_ratio=1.5),
    ],
)
def test_block_equals_the_slow_version(settings):
    block = randomize(GlobalAttention(64, **settings)).eval()
    x = torch.randn(2, 64, 3, 5)
    with torch.no_grad():
        expected = slow_block(block, x)
        assert (expected - x).abs().mean() > 0.1
        assert_close(block(x), expected, TOLERANCE)


def test_it_starts_as_the_identity_and_learns():
    x = torch.randn(2, 64, 4, 6)
    dropping = GlobalAttention(64, drop_path_rate=0.5).train()
    torch.testing.assert_close(dropping(x), x, rtol=0, atol=0)
    block = GlobalAttention(64)
    optimizer = torch.optim.SGD(block.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (block(x) * torch.randn(2, 64, 4, 6)).sum().backward()
        optimizer.step()
    for name, parameter in block.named_parameters():
        assert parameter.grad.any(), name


def test_one_position_reaches_all_others():
    block = randomize(GlobalAttention(64))
    x = torch.randn(1, 64, 5, 7)
    changed = x.clone()
    changed[..., 4, 6] += torch.randn(64)
    assert (block(x) != block(changed)).any(1).all()


def test_parameters_are_those_of_a_transformer_block():

    def size(**settings):
        return sum(
            p.numel() for p in GlobalAttention(64, **settings).parameters()
        )

    assert size() == 12 * 64**2 + 13 * 64
    assert size(mlp_ratio=0) == 4 * 64**2 + 6 * 64
    assert GlobalAttention(1024).num_heads == 32  # as Swin-B's last stage


def test_checkpointing_changes_nothing():
    plain = randomize(GlobalAttention(64))
    saving = GlobalAttention(64, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    results = []
    x = torch.randn(2, 64, 4, 6)
    for block in (plain, saving):
        image = x.clone().requires_grad_()
        out = block(image)
        out.square().sum().backward()
        results.append((out, image.grad, block.qkv.weight.grad))
    for actual, expected in zip(*results):
        torch.testing.assert_close(actual, expected)


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match='3 heads do not divide 64 channels'):
        GlobalAttention(64, num_heads=3)


def test_neck_without_it_is_the_fpn():
    torch.manual_seed(1)
    model = neck()
    torch.manual_seed(1)
    fpn = FPN(CHANNELS, 8, 4)
    model.init_weights()
    fpn.load_state_dict(model.state_dict())  # the parameter names are equal
    inputs = pyramid()
    for actual, expected in zip(model(inputs), fpn(inputs)):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_neck_keeps_the_pyramid():
    model = randomize(
        ROOT_MODELS.build(
            dict(
                type='swin_dense.GlobalAttentionFPN',
                in_channels=CHANNELS,
                out_channels=8,
                num_outs=4,
                global_attention=dict(num_heads=2),
            )
        )
    )
    for size in ((24, 40), (4, 4), (36, 20)):
        inputs = pyramid(1, *size)
        outputs = model(inputs)
        assert [tuple(out.shape) for out in outputs] == [
            (1, 8, size[0] >> level, size[1] >> level) for level in range(3)
        ] + [(1, 8, -(-(size[0] >> 2) // 2), -(-(size[1] >> 2) // 2))]
        attended = (*inputs[:-1], model.global_attention(inputs[-1]))
        for actual, expected in zip(outputs, FPN.forward(model, attended)):
            torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_pretrained_pyramids_pass_unchanged_at_first():
    model, plain = neck(global_attention={}), neck()
    plain.load_state_dict(model.state_dict(), strict=False)
    inputs = pyramid()
    model.init_weights()
    plain.load_state_dict(model.state_dict(), strict=False)
    for actual, expected in zip(model(inputs), plain(inputs)):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_mixed_precision_stays_close():
    block = randomize(GlobalAttention(64)).eval()
    x = torch.randn(2, 64, 6, 9)
    with torch.no_grad():
        expected = block(x)
        with torch.autocast('cpu', torch.bfloat16):
            actual = block(x)
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() < 0.05 * expected.abs().max()
