from functools import partial

import pytest
import torch
from mmengine.registry import MODELS

from helpers.kernel_sets import FOR_CPU
from helpers.models import NARROW, randomize
from helpers.models import make as make_backbone
from helpers.reference import assert_close, window_attention
from swin_dense import kernels
from swin_dense.backbones import SwinTransformer, SwinTransformer3D

make = partial(make_backbone, SwinTransformer3D)


@pytest.mark.parametrize(
    'size', [(2, 1, 1), (2, 4, 4), (5, 31, 6), (18, 33, 64)]
)
def test_outputs_are_as_declared(size):
    model = make(out_indices=(0, 2, 3)).eval()
    outputs = model(torch.randn(2, 3, *size))
    assert model.channels == (8, 32, 64)
    assert model.strides == (4, 16, 32)
    for out, channels, stride in zip(outputs, model.channels, model.strides):
        assert out.shape == (
            2,
            channels,
            -(-size[0] // 2),
            *(-(-s // stride) for s in size[1:]),
        )
        assert out.is_contiguous()


def test_a_single_output_is_no_tuple():
    x = torch.randn(1, 3, 4, 32, 32)
    model = make().eval()
    assert model(x).shape == (1, 64, 2, 1, 1)
    assert isinstance(make(out_indices=(1, 3))(x), tuple)


def test_outputs_after_merging():
    before = make(out_indices=(0, 1, 2, 3)).eval()
    after = make(out_indices=(0, 1, 2, 3), out_after_downsample=True).eval()
    assert after.channels == (16, 32, 64, 64)
    assert after.strides == (8, 16, 32, 32)
    outputs = after(torch.randn(1, 3, 4, 40, 50))
    assert [tuple(out.shape) for out in outputs] == [
        (1, 16, 2, 5, 7),
        (1, 32, 2, 3, 4),
        (1, 64, 2, 2, 2),
        (1, 64, 2, 2, 2),
    ]
    assert before.channels == (8, 16, 32, 64)


@pytest.mark.parametrize(
    'arch, millions',
    [
        ('tiny', 28.2),
        ('small', 49.8),
        ('base', 88.1),
        ('L', 197),
    ],
)
def test_parameter_count(arch, millions):
    # As published, with a head of 400 classes.
    with torch.device('meta'):
        model = SwinTransformer3D(arch)
    head = 400 * (model.channels[0] + 1)
    count = head + sum(p.numel() for p in model.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.003)


def test_every_parameter_gets_a_gradient():
    model = make(out_indices=(0, 1, 2, 3), window_size=(2, 2, 2))
    sum(
        out.square().sum() for out in model(torch.randn(2, 3, 9, 60, 70))
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_state_has_parameters_only_and_official_names():
    state = make().state_dict()
    assert set(state) == {name for name, _ in make().named_parameters()}
    assert state['patch_embed.proj.weight'].shape == (8, 3, 2, 4, 4)
    table = state['layers.2.blocks.1.attn.relative_position_bias_table']
    assert table.shape == (15 * 13 * 13, 2)
    assert state['layers.0.downsample.norm.weight'].shape == (32,)
    assert {'norm3.weight', 'layers.3.blocks.0.mlp.fc2.bias'} <= set(state)


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize(
    'grid',
    [
        (4, 7, 5),  # larger than the window, padded on all axes
        (3, 2, 5),  # height shrinks
        (1, 4, 2),  # time and width shrink
        (2, 3, 3),  # the window itself: no shift
        (1, 1, 1),
    ],
)
def test_windows_equal_the_slow_reference(grid, masked):
    window = (2, 3, 3)
    model = (
        make(
            dict(embed_dims=4, depths=(2,), num_heads=(2,)),
            patch_size=1,
            window_size=window,
            out_indices=(0,),
            mask_padding=masked,
        )
        .double()
        .eval()
    )
    clip = torch.randn(1, 3, *grid, dtype=torch.float64)
    with torch.no_grad():
        out = model(clip)
        x = model.patch_embed(clip)[0]
        fitted = tuple(min(size, w) for size, w in zip(grid, window))
        half = tuple(
            0 if size <= w else w // 2 for size, w in zip(grid, window)
        )
        for block, shift in zip(model.layers[0].blocks, ((0, 0, 0), half)):
            x = x + window_attention(
                block.norm1(x), block.attn, fitted, shift, masked
            )
            x = x + block.mlp(block.norm2(x))
        assert_close(out[0].movedim(0, -1), model.norm0(x), 1e-12)


def tiled(image, video, frames=2):
    """Give a video network the weights of a network for images.

    Temporal offsets all get the same bias, and the temporal taps of the
    embedding one share each.
    """
    state = image.state_dict()
    for name, value in video.state_dict().items():
        if name.endswith('bias_table'):
            state[name] = state[name].repeat(len(value) // len(state[name]), 1)
    weight = state['patch_embed.proj.weight'][:, :, None]
    state['patch_embed.proj.weight'] = (
        weight.repeat(1, 1, frames, 1, 1) / frames
    )
    video.load_state_dict(state)
    return video


@pytest.mark.parametrize('size', [(232, 260), (225, 260)])
@pytest.mark.parametrize('training', [False, True])
def test_one_frame_equals_the_network_for_images(size, training):
    # Maps are larger than the window everywhere: smaller ones are padded in
    # the model for images, and shrink the window in the video model.
    everywhere = dict(out_indices=(0, 1, 2, 3), drop_path_rate=0.0)
    image = randomize(SwinTransformer(**NARROW, **everywhere))
    video = tiled(image, SwinTransformer3D(NARROW, **everywhere))
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.set_grad_enabled(training):
        expected = image.double().train(training)(x)
        outputs = video.double().train(training)(
            x[:, :, None].expand(-1, -1, 2, -1, -1)
        )
    for out, other in zip(outputs, expected):
        assert_close(out.squeeze(2), other, 1e-12)


def test_still_clip_with_tiled_weights_is_still():
    image = randomize(SwinTransformer(**NARROW, out_indices=(0, 3)))
    video = tiled(image, make(out_indices=(0, 3))).eval()
    frame = torch.randn(1, 3, 1, 64, 96)
    short, long = (video(frame.expand(-1, -1, t, -1, -1)) for t in (2, 32))
    for first, second in zip(short, long):
        assert second.shape[2] == 16
        assert_close(second, first.expand_as(second), 1e-5)


@pytest.mark.parametrize('training', [False, True])
def test_checkpointing_changes_nothing(training):
    plain, saving = (
        make(drop_path_rate=0.0),
        make(drop_path_rate=0.0, with_cp=True),
    )
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 9, 50, 66)
    for model in (plain, saving):
        model.train(training)
        model(x).sum().backward()
    for first, second in zip(plain.parameters(), saving.parameters()):
        assert torch.equal(first.grad, second.grad)


def test_kernels_agree():
    model = make(window_size=(4, 7, 7)).eval()
    x = torch.randn(2, 3, 12, 70, 100)
    results = []
    for name in FOR_CPU:
        for grad in (False, True):
            with kernels.use(name), torch.set_grad_enabled(grad):
                results.append(model(x).detach())
    for other in results[1:]:
        assert_close(results[0], other, 1e-5)


def test_evaluation_is_deterministic_training_is_not():
    model = make(drop_path_rate=0.5)
    x = torch.randn(2, 3, 8, 32, 32)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_freezing():
    model = make(frozen_stages=2, drop_path_rate=0.3).train()
    frozen = {
        name.rsplit('.', 1)[0]
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    assert frozen and all(
        name.startswith(('patch_embed', 'layers.0', 'layers.1'))
        for name in frozen
    )
    assert [stage.training for stage in model.layers] == [False] * 2 + [
        True
    ] * 2


def test_found_by_scope_with_the_arguments_of_mmaction2():
    model = MODELS.build(
        dict(
            type='swin_dense.SwinTransformer3D',
            arch=NARROW,
            pretrained=None,
            pretrained2d=True,
            patch_size=(2, 4, 4),
            window_size=(8, 7, 7),
            mlp_ratio=4.0,
            qkv_bias=True,
            qk_scale=None,
            drop_rate=0.0,
            attn_drop_rate=0.0,
            drop_path_rate=0.1,
            patch_norm=True,
            init_cfg=[
                dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
                dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
            ],
        )
    )
    assert type(model) is SwinTransformer3D
    model.init_weights()
    attention = model.layers[2].blocks[1].attn
    for weight in (
        attention.qkv.weight,
        attention.relative_position_bias_table,
    ):
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    'kwargs, error, message',
    [
        (dict(window=7), TypeError, "Did you mean 'window_size'"),
        (
            dict(arch='huge'),
            ValueError,
            "tiny, small, base, large.*got 'huge'",
        ),
        (
            dict(arch=dict(embed_dims=8)),
            ValueError,
            'a dictionary of embed_dims',
        ),
        (
            dict(window_size=(7, 7)),
            ValueError,
            'window_size must be .* 3 of them',
        ),
        (
            dict(patch_size=(4, 4)),
            ValueError,
            'patch_size must be .* 3 of them',
        ),
        (dict(out_indices=(0, 4)), ValueError, 'stage numbers below 4'),
        (dict(frozen_stages=5), ValueError, 'between -1 and 4'),
        (dict(init_cfg=dict(type='Normal')), ValueError, "type='Pretrained'"),
        (
            dict(
                pretrained='a',
                init_cfg=dict(type='Pretrained', checkpoint='a'),
            ),
            ValueError,
            'not both',
        ),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        SwinTransformer3D(**{'arch': NARROW, **kwargs})


def test_images_are_refused():
    with pytest.raises(ValueError, match=r'\(B, C, T, H, W\), got .*\(1, 3, '):
        make()(torch.randn(1, 3, 32, 32))


def test_clips_shorter_than_a_patch_are_refused():
    message = 'a clip of 1 frames is shorter than a temporal patch, 2 frames'
    with pytest.raises(ValueError, match=message):
        make()(torch.randn(1, 3, 1, 32, 32))
    assert make(patch_size=(1, 4, 4))(torch.randn(1, 3, 1, 32, 32)).ndim == 5
