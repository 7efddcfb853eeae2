"""Swin-MLP against a slow version written from its definition."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from helpers.kernel_sets import CASES, using
from helpers.models import official_classifier, randomize
from helpers.reference import assert_close
from helpers.slow_pyramid import mlp, norm, pyramid
from swin_dense import kernels
from swin_dense.backbones import SwinMLP
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.load import load_backbone
from swin_dense.layers import SpatialMLP

# The programs of Triton have no float64.
IN_FLOAT64 = [case for case in CASES if case != 'triton']
SIZES = dict(embed_dims=12, depths=(2, 3), num_heads=(3, 4))


def make(**kwargs):
    kwargs = {'arch': SIZES, 'window_size': 3, **kwargs}
    return randomize(SwinMLP(**kwargs)).double().eval()


def mix_by_conv(state, x, window, heads):
    """Mix the windows of a map whose sides are multiples of the window."""
    batch, height, width, channels = x.shape
    out = torch.zeros_like(x)
    for top in range(0, height, window):
        for left in range(0, width, window):
            rows = slice(top, top + window)
            columns = slice(left, left + window)
            tokens = x[:, rows, columns].reshape(batch, window**2, heads, -1)
            tokens = tokens.transpose(1, 2).reshape(
                batch, heads * window**2, -1
            )
            mixed = F.conv1d(
                tokens,
                state['spatial_mlp.weight'],
                state['spatial_mlp.bias'],
                groups=heads,
            )
            mixed = mixed.reshape(batch, heads, window**2, -1)
            out[:, rows, columns] = mixed.transpose(1, 2).reshape(
                batch, window, window, channels
            )
    return out


def slow_block(window, num_heads):
    def run(state, x, stage, number):
        height, width = x.shape[1:3]
        h = norm(state, 'norm1', x)
        h = F.pad(h, (0, 0, 0, -width % window, 0, -height % window))
        if number % 2 and min(height, width) > window:
            far = window // 2
            near = window - far
            h = F.pad(h, (0, 0, near, far, near, far))
            h = mix_by_conv(state, h, window, num_heads[stage])
            h = h[:, near:-far, near:-far]
        else:
            h = mix_by_conv(state, h, window, num_heads[stage])
        x = x + h[:, :height, :width]
        return x + mlp(state, norm(state, 'norm2', x))

    return run


# Maps of 3 x 3, whole windows, one more and one less, an odd merging.
INPUT_SIZES = [(12, 12), (24, 48), (40, 28), (20, 60), (12, 60)]


@pytest.mark.parametrize('window', [3, 4])
@pytest.mark.parametrize('size', INPUT_SIZES)
@pytest.mark.parametrize('name', IN_FLOAT64)
def test_outputs_are_those_of_the_definition(name, size, window):
    model = make(window_size=window)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    run = slow_block(window, SIZES['num_heads'])
    expected = pyramid(model.state_dict(), image, SIZES['depths'], run)
    with using(name):
        with torch.no_grad():
            outputs = model(image)
        for out, other in zip(model(image), outputs):
            assert_close(out, other, 1e-12)
    for out, other in zip(outputs, expected):
        assert out.is_contiguous()
        assert_close(out, other, 1e-11)


def test_a_weight_for_each_pair_of_tokens():
    mixer = randomize(SpatialMLP(6, (2, 2), 3)).double()
    x = torch.randn(1, 4, 6, dtype=torch.float64)
    out = mixer.mix(x, None, None, None)
    for head, token, channel in (0, 0, 0), (1, 3, 2), (2, 1, 5):
        row = head * 4 + token
        expected = mixer.bias[row] + sum(
            mixer.weight[row, other, 0] * x[0, other, channel]
            for other in range(4)
        )
        assert_close(out[0, token, channel], expected, 1e-12)


def test_channels_of_a_head_are_alike():
    mixer = randomize(SpatialMLP(8, (2, 2), 2)).double()
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    order = [2, 0, 3, 1, 4, 5, 6, 7]  # of the first head alone
    out = mixer.mix(x, None, None, None)
    again = mixer.mix(x[..., order], None, None, None)
    assert torch.equal(again, out[..., order])


def test_zeros_enter_at_the_borders_of_shifted_windows():
    model = make(arch=dict(SIZES, depths=(2,), num_heads=(3,)))
    first, second = model.layers[0].blocks
    x = torch.ones(1, 6, 6, 12, dtype=torch.float64)
    layouts = [
        model.layers[0]._layout((6, 6), shift) for shift in ((0, 0), (1, 1))
    ]
    assert layouts[1].padded == (9, 9)
    assert layouts[1].before == (2, 2)
    chosen = kernels.choose(x)
    whole = first.mixer(x, layouts[0], chosen)
    assert_close(whole[:, :3, :3], whole[:, 3:, 3:], 1e-12)
    shifted = second.mixer(x, layouts[1], chosen)
    assert (shifted[:, 0, 0] - shifted[:, 3, 3]).abs().max() > 0.1


@pytest.mark.parametrize(
    'arch, dense, classifier',
    [
        ('tiny_c24', 19_618_976, 20_386_632),
        ('tiny_c12', 20_384_416, 21_152_072),
        ('tiny_c6', 21_915_296, 22_682_952),
        ('base', 59_636_208, 60_659_416),
    ],
)
def test_parameter_count(arch, dense, classifier):
    with torch.device('meta'):
        model = MODELS.build(dict(type='swin_dense.SwinMLP', arch=arch))
    assert sum(p.numel() for p in model.parameters()) == dense
    *early, last = model.channels
    assert dense - 2 * sum(early) + 1000 * (last + 1) == classifier
    window = 7 if arch == 'base' else 8
    assert model.layers[3].blocks[1].mixer.window_size == (window, window)


def test_every_parameter_gets_a_gradient_and_checkpointing_changes_nothing():
    plain, saving = make().train(), make(with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 40, 52, dtype=torch.float64)
    for model in (plain, saving):
        for stage in model.layers:
            for block in stage.blocks:
                block.drop_path.rate = 0.0
        sum(out.square().sum() for out in model(x)).backward()
    for (name, first), second in zip(
        plain.named_parameters(), saving.parameters()
    ):
        assert first.grad.abs().sum() > 0, name
        assert_close(first.grad, second.grad, 1e-10)


def test_initialisation():
    model = SwinMLP(SIZES, window_size=8)
    model.init_weights()
    mixer = model.layers[0].blocks[0].mixer
    assert 0.018 < mixer.weight.std() < 0.022
    assert not mixer.bias.any()


def official(model):
    """Return a checkpoint as the official code writes it."""
    return dict(model=official_classifier(model), epoch=299)


def test_official_file(tmp_path):
    source = make()
    path = tmp_path / 'swin_mlp.pth'
    torch.save(official(source), path)
    model = make()
    report = load_backbone(model, path)
    assert report.source_format == 'Microsoft classifier'
    assert set(report.missing) == {
        f'norm{i}.{leaf}' for i in (0, 1) for leaf in ('weight', 'bias')
    }
    for name in report.loaded:
        assert torch.equal(
            model.state_dict()[name], source.state_dict()[name]
        ), name
    info = inspect_checkpoint(path)
    assert info['window'] == [3, 3]
    assert info['window_from'] == 'weights of its windows'
    settings = dict(info['backbone'])
    assert settings.pop('type') == 'swin_dense.SwinMLP'
    assert settings == dict(
        arch=dict(SIZES), window_size=3, out_indices=(0, 1)
    )


def test_another_window_is_refused_with_the_reason():
    file = official(make(window_size=4))
    with pytest.raises(CheckpointError) as error:
        load_backbone(make(), file)
    message = str(error.value)
    assert 'windows of 4x4, the model has windows of 3x3' in message
    assert 'cannot be resized' in message
    assert 'window_size=4' in message
    model = make(window_size=4)
    with pytest.raises(ValueError, match='9 tokens'):
        model.layers[0].blocks[0].mixer.mix(
            torch.zeros(1, 9, 12, dtype=torch.float64), None, None, None
        )


def test_conversion_is_complete():
    file = official(make())
    converted = convert_checkpoint(file, 'official')
    assert converted.metadata['window'] == [3, 3]
    assert converted.weights.keys() == file['model'].keys()
    for name, value in file['model'].items():
        assert torch.equal(converted.weights[name], value), name
    del file['model']['layers.1.blocks.2.spatial_mlp.bias']
    with pytest.raises(CheckpointError, match='blocks.2.spatial_mlp.bias'):
        convert_checkpoint(file, 'official')
    with pytest.raises(CheckpointError, match='mmdet has no Swin-MLP'):
        convert_checkpoint(official(make()), 'mmdet')


def test_bad_arguments():
    with pytest.raises(TypeError, match="'qkv_bias'"):
        SwinMLP(qkv_bias=True)
    with pytest.raises(ValueError, match='num_heads must divide'):
        SwinMLP(dict(SIZES, num_heads=(5, 4)))
    with pytest.raises(ValueError, match='arch must be one of tiny_c24'):
        SwinMLP('large')
