"""Video Swin V2: definition, inflation, windows, checkpoints."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from helpers.models import randomize
from helpers.reference import assert_close, window_attention
from helpers.slow_pyramid import below, linear, mlp, norm
from swin_dense import kernels
from swin_dense.backbones import SwinTransformerV2, SwinTransformerV2_3D
from swin_dense.checkpoints.backbone_settings import backbone_settings
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.metadata import with_record
from swin_dense.checkpoints.load import load_backbone
from swin_dense.checkpoints.native import family
from swin_dense.checkpoints.pretrained_windows import window_record
from swin_dense.ops import log_coordinates

SIZES = dict(embed_dims=8, depths=(2, 2), num_heads=(2, 4))
OUT = dict(out_indices=(0, 1), drop_path_rate=0.0)


def make(**kwargs):
    kwargs = {'arch': SIZES, 'window_size': (2, 3, 3), **OUT, **kwargs}
    return randomize(SwinTransformerV2_3D(**kwargs)).double().eval()


def make_image_net(**kwargs):
    kwargs = {'arch': SIZES, 'window_size': 3, **OUT, **kwargs}
    return randomize(SwinTransformerV2(**kwargs)).double().eval()


def pyramid(model, clip, nominal):
    """The outputs of a model for one clip, token by token."""
    state = model.state_dict()
    patch = below(state, 'patch_embed.')
    weight = patch['proj.weight']
    x = F.conv3d(clip, weight, patch['proj.bias'], weight.shape[2:])
    x = norm(patch, 'norm', x.permute(0, 2, 3, 4, 1))[0]
    outputs = []
    for number, stage in enumerate(model.layers):
        for index, block in enumerate(stage.blocks):
            names = below(state, f'layers.{number}.blocks.{index}.')
            sizes = list(zip(x.shape, nominal))
            window = tuple(min(size, w) for size, w in sizes)
            shift = tuple(
                w // 2 if index % 2 and size > w else 0 for size, w in sizes
            )
            mixed = window_attention(x, block.attn, window, shift, masked=True)
            x = x + norm(names, 'norm1', mixed)
            x = x + norm(names, 'norm2', mlp(names, x))
        outputs.append(norm(state, f'norm{number}', x).movedim(-1, 0)[None])
        if stage.downsample is not None:
            names = below(state, f'layers.{number}.downsample.')
            x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
            parts = [
                x[:, row::2, column::2]
                for column, row in product(range(2), repeat=2)
            ]
            x = norm(
                names, 'norm', linear(names, 'reduction', torch.cat(parts, -1))
            )
    return outputs


# Whole windows; padding on all axes; windows that shrink in time, in space.
CLIPS = [(8, 24, 24), (6, 28, 20), (2, 28, 20), (6, 8, 28)]


@pytest.mark.parametrize('frames', [1, 2])
@pytest.mark.parametrize('size', CLIPS)
@pytest.mark.parametrize('name', ['plain', 'cpu'])
def test_outputs_are_those_of_the_definition(name, size, frames):
    model = make(patch_size=(frames, 4, 4))
    clip = torch.randn(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = pyramid(model, clip, (2, 3, 3))
        with kernels.use(name):
            outputs = model(clip)
    for out, other in zip(outputs, expected):
        assert out.is_contiguous()
        assert_close(out, other, 1e-10)


@pytest.mark.parametrize('frames', [1, 2])
@pytest.mark.parametrize('length', [2, 6, 10])
def test_a_still_clip_has_the_features_of_its_image(frames, length):
    image_net = make_image_net()
    net = make(patch_size=(frames, 4, 4), window_size=(4, 3, 3))
    report = load_backbone(net, {'model': image_net.state_dict()})
    assert 'log-MLP extended by offsets in time' in report.summary()
    image = torch.randn(2, 3, 40, 52, dtype=torch.float64)
    with torch.no_grad():
        expected = image_net(image)
        outputs = net(image[:, :, None].expand(-1, -1, length, -1, -1))
    for out, other in zip(outputs, expected):
        assert out.shape[2] == -(-length // frames)
        for step in out.unbind(2):
            assert_close(step, other, 1e-10)


def test_an_inflated_window_in_time_does_not_know_the_order():
    net = make(patch_size=1, window_size=(4, 3, 3))
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith('cpb_mlp.0.weight'):
                value[:, 0] = 0
    clip = torch.randn(1, 3, 4, 7, 5, dtype=torch.float64)
    order = [2, 0, 3, 1]
    with torch.no_grad():
        outputs, others = net(clip), net(clip[:, :, order])
    for out, other in zip(outputs, others):
        assert_close(out[:, :, order], other, 1e-10)


def test_coordinates_are_antisymmetric():
    table = log_coordinates((2, 3, 4), (8, 6, 4), torch.float64)
    assert table.shape == (3 * 5 * 7, 3)
    assert torch.equal(table, -table.flip(0))
    # The largest offset in time, 1 of 7, times 8.
    expected = torch.log2(torch.tensor(1 + 8 / 7)) / 3
    assert table[-1, 0].item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    'patch, arch, count',
    [
        (2, 'tiny', 27_588_906),
        (1, 'tiny', 27_584_298),
        (2, 'small', 48_976_314),
        (1, 'small', 48_971_706),
        (2, 'base', 86_912_248),
        (1, 'base', 86_906_104),
        (2, 'large', 195_224_436),
        (1, 'large', 195_215_220),
    ],
)
def test_parameter_count(patch, arch, count):
    with torch.device('meta'):
        model = SwinTransformerV2_3D(arch, patch_size=(patch, 4, 4))
    assert sum(p.numel() for p in model.parameters()) == count


def recorded(model):
    """A checkpoint of this package."""
    return {
        'state_dict': model.state_dict(),
        'meta': with_record({}, window_record(model)),
    }


def test_pretrained_windows_of_an_image_net_extend_in_time():
    image_net = make_image_net(pretrained_window_sizes=[6, 3])
    file = recorded(image_net)
    net = make(window_size=(4, 5, 5))
    load_backbone(net, file)
    units = [s.blocks[0].attn.pretrained_window_size for s in net.layers]
    assert units == [(4, 6, 6), (4, 3, 3)]


def test_windows_transfer_in_space_and_time():
    source = make(window_size=(2, 3, 3))
    target = make(window_size=(4, 4, 4))
    report = load_backbone(target, recorded(source))
    assert 'log-MLP of 2x3x3 windows evaluated for 4x4x4' in report.summary()
    attention = target.layers[0].blocks[1].attn
    custom = source.layers[0].blocks[1].attn
    # An offset has the bias that it had: here from token 0 to the next frame.
    new = attention.position_bias((4, 4, 4))
    old = custom.position_bias((2, 3, 3))
    assert_close(new[:, 0, 16], old[:, 0, 9], 1e-12)
    assert_close(new[:, 0, 5], old[:, 0, 4], 1e-12)


def test_files():
    source = make()
    assert family(source.state_dict()) == 'video_v2'
    converted = convert_checkpoint(
        {'state_dict': source.state_dict()}, 'official'
    )
    assert converted.arch.startswith('a Video Swin V2')
    target = make()
    report = load_backbone(target, converted.checkpoint)
    assert not report.missing and not report.unexpected
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name
    settings = backbone_settings(source.state_dict(), (2, 3, 3))
    assert settings == dict(
        type='swin_dense.SwinTransformerV2_3D',
        arch=SIZES,
        out_indices=(1,),
        window_size=(2, 3, 3),
    )


def test_what_does_not_fit_is_refused():
    image_file = {'state_dict': make_image_net().state_dict()}
    with pytest.raises(CheckpointError, match='pretrained2d=True'):
        load_backbone(make(pretrained2d=False), image_file)
    with pytest.raises(CheckpointError, match='holds Video Swin V2'):
        load_backbone(make_image_net(), {'state_dict': make().state_dict()})
    with pytest.raises(ValueError, match='takes clips'):
        make()(torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match='shorter than a temporal patch'):
        make()(torch.zeros(1, 3, 1, 8, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match=r'\(time, height, width\)'):
        SwinTransformerV2_3D(window_size=(2, 3))


def test_gradients_and_a_single_output():
    model = make(out_indices=(1,), with_cp=True).train()
    x = torch.randn(1, 3, 4, 28, 20, dtype=torch.float64)
    out = model(x)
    assert out.shape == (1, 16, 2, 4, 3)
    out.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
