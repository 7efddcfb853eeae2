"""Mini-Swin against a slow version written from its definition."""

import pytest
import torch
import torch.nn.functional as F

from helpers.kernel_sets import CASES, using
from helpers.models import official_classifier, randomize
from helpers.reference import assert_close
from helpers.slow_pyramid import linear, mlp, norm, pyramid
from swin_dense.backbones import MiniSwin
from swin_dense.checkpoints.backbone_settings import backbone_settings
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.identify import describe
from swin_dense.checkpoints.inspect_file import inspect_checkpoint
from swin_dense.checkpoints.load import load_backbone
from swin_dense.ops import relative_index

# Three runs of one block, then two runs of each of two.
SIZES = dict(embed_dims=12, depths=(3, 4), num_heads=(3, 4), blocks=(1, 2))
# The programs of Triton have no float64.
IN_FLOAT64 = [case for case in CASES if case != 'triton']


def make(**kwargs):
    kwargs = {'arch': SIZES, 'window_size': 3, 'drop_path_rate': 0.0, **kwargs}
    return randomize(MiniSwin(**kwargs)).double().eval()


def regions(height, width, window, shift):
    """Number the parts of a rolled map that must not see each other."""
    labels = torch.zeros(height, width, dtype=torch.long)
    cuts = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for i, rows in enumerate(cuts):
        for j, columns in enumerate(cuts):
            labels[rows, columns] = 3 * i + j
    return labels


def slow_run(state, x, heads, window, shift, shift_of_mask, run):
    """Compute a run of a block, window by window."""
    height, width, channels = x.shape[1:]
    h = norm(state, f'norm1_list.{run}', x)
    h = F.pad(h, (0, 0, 0, -width % window, 0, -height % window))
    padded = h.shape[1:3]
    h = h.roll((-shift, -shift), (1, 2))
    labels = torch.zeros(padded, dtype=torch.long)
    if shift_of_mask:
        labels = regions(*padded, window, shift_of_mask)
    index = relative_index((window, window))
    bias = state['attn.relative_position_bias_table'][index].permute(2, 0, 1)
    out = torch.empty_like(h)
    for top in range(0, padded[0], window):
        for left in range(0, padded[1], window):
            rows, columns = (
                slice(top, top + window),
                slice(left, left + window),
            )
            tokens = h[:, rows, columns].flatten(1, 2)
            q, k, v = (
                part.unflatten(-1, (heads, -1)).transpose(1, 2)
                for part in linear(state, 'attn.qkv', tokens).chunk(3, -1)
            )
            scale = (channels // heads) ** -0.5
            logits = q @ k.transpose(-1, -2) * scale + bias
            logits = linear(
                state, f'proj_l.{run}', logits.movedim(1, -1)
            ).movedim(-1, 1)
            part = labels[rows, columns].flatten()
            logits = logits - 100.0 * (part[:, None] != part)
            weights = linear(
                state, f'proj_w.{run}', logits.softmax(-1).movedim(1, -1)
            ).movedim(-1, 1)
            mixed = (weights @ v).transpose(1, 2).flatten(2)
            mixed = linear(state, 'attn.proj', mixed)
            out[:, rows, columns] = mixed.unflatten(1, (window, window))
    out = out.roll((shift, shift), (1, 2))[:, :height, :width]
    x = norm(state, f'local_norm_list.{run}', x + out)
    local = F.conv2d(
        x.permute(0, 3, 1, 2),
        state[f'local_conv_list.{run}.weight'],
        state[f'local_conv_list.{run}.bias'],
        padding=3,
        groups=channels,
    )
    x = x + local.permute(0, 2, 3, 1)
    return x + mlp(state, norm(state, f'norm2_list.{run}', x))


def slow_block(window, mask_unshifted):
    def run_block(state, x, stage, number):
        repeats = SIZES['depths'][stage] // SIZES['blocks'][stage]
        shift = window // 2 if min(x.shape[1:3]) > window else 0
        for run in range(repeats):
            shifted = (number * repeats + run) % 2
            x = slow_run(
                state,
                x,
                SIZES['num_heads'][stage],
                window,
                shift if shifted else 0,
                shift if shifted or mask_unshifted else 0,
                run,
            )
        return x

    return run_block


# Whole windows, padding, a last map of one window, a narrow one.
@pytest.mark.parametrize('mask_unshifted', [True, False])
@pytest.mark.parametrize('size', [(24, 48), (40, 28), (24, 24), (12, 60)])
@pytest.mark.parametrize('name', IN_FLOAT64)
def test_outputs_are_those_of_the_definition(name, size, mask_unshifted):
    model = make(mask_unshifted=mask_unshifted)
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    run = slow_block(3, mask_unshifted)
    with torch.no_grad():
        expected = pyramid(model.state_dict(), image, SIZES['blocks'], run)
        with using(name):
            outputs = model(image)
    with using(name):
        with_gradients = model(image)
    for out, other, expected_map in zip(outputs, with_gradients, expected):
        assert out.is_contiguous()
        assert_close(out, expected_map, 1e-10)
        assert_close(out, other, 1e-11)


def test_masks_of_unshifted_windows_make_a_difference():
    model, other = make(), make(mask_unshifted=False)
    assert MiniSwin(SIZES).layers[0].mask_unshifted  # as weights expect
    other.load_state_dict(model.state_dict())
    image = torch.randn(1, 3, 36, 36, dtype=torch.float64)
    with torch.no_grad():
        assert (model(image)[0] - other(image)[0]).abs().max() > 1e-3
        # A map of one window has no masks.
        image = image[..., :12, :12]
        assert torch.equal(model(image)[0], other(image)[0])


def test_gradients_of_shared_weights_add_up():
    """Gradients add up over the runs, as over copies of the weights."""
    model = make(arch=dict(SIZES, depths=(3, 2), blocks=(1, 1)))
    block = model.layers[0].blocks[0]
    x = torch.randn(1, 6, 6, 12, dtype=torch.float64)
    layout = model.layers[0]._layout((6, 6), (0, 0))
    runs = block.runs
    assert len(runs) == 3
    whole = x
    for run in runs:
        whole = run(whole, layout)
    weight = block.attn.qkv.weight
    (total,) = torch.autograd.grad(whole.square().sum(), weight)
    copies = [weight.detach().clone().requires_grad_() for _ in runs]
    apart = x
    for run, copy in zip(runs, copies):
        del block.attn.qkv._parameters['weight']
        block.attn.qkv.weight = copy
        apart = run(apart, layout)
        del block.attn.qkv.weight
        block.attn.qkv.register_parameter('weight', weight)
    parts = torch.autograd.grad(apart.square().sum(), copies)
    assert_close(
        total / total.abs().max(), sum(parts) / total.abs().max(), 1e-10
    )


@pytest.mark.parametrize(
    'arch, window, classifier',
    [
        ('tiny', 7, 12_001_765),
        ('small', 7, 26_463_205),
        ('base', 7, 46_444_852),
        ('base', 12, 46_512_532),
    ],
)
def test_parameter_count(arch, window, classifier):
    with torch.device('meta'):
        model = MiniSwin(arch, window_size=window)
    count = sum(p.numel() for p in model.parameters())
    *early, last = model.channels
    assert count - 2 * sum(early) + 1000 * (last + 1) == classifier


def test_drop_path_rises_over_the_runs():
    model = MiniSwin(SIZES, drop_path_rate=0.6)
    rates = [
        drop_path.rate
        for stage in model.layers
        for block in stage.blocks
        for drop_path in block.drop_path
    ]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_every_parameter_gets_a_gradient_and_checkpointing_changes_nothing():
    plain, saving = make().train(), make(with_cp=True).train()
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 40, 52, dtype=torch.float64)
    for model in (plain, saving):
        sum(out.square().sum() for out in model(x)).backward()
    for (name, first), second in zip(
        plain.named_parameters(), saving.parameters()
    ):
        # A bias of all logits of a query does not change its softmax.
        if '.proj_l.' not in name or name.endswith('weight'):
            assert first.grad.abs().sum() > 0, name
        assert_close(first.grad, second.grad, 1e-10)


def official(model):
    """Return a checkpoint as the official code writes it."""
    weights = official_classifier(model)
    for name in [n for n in weights if n.endswith('bias_table')]:
        side = model.layers[0].blocks[0].attn.window_size[0]
        weights[name.replace('bias_table', 'index')] = relative_index(
            (side, side)
        )
    weights['layers.0.blocks.0.attn_mask'] = torch.zeros(4, 9, 9)
    return dict(model=weights, epoch=299)


def test_official_file(tmp_path):
    source = make()
    path = tmp_path / 'mini_swin.pth'
    torch.save(official(source), path)
    model = make()
    report = load_backbone(model, path)
    assert report.source_format == 'Microsoft classifier'
    assert all(name.startswith('norm') for name in report.missing)
    assert not report.unexpected
    for name in report.loaded:
        assert torch.equal(
            model.state_dict()[name], source.state_dict()[name]
        ), name
    info = inspect_checkpoint(path)
    assert info['window'] == [3, 3]
    assert info['family'] == 'mini'
    settings = dict(info['backbone'])
    assert settings.pop('type') == 'swin_dense.MiniSwin'
    assert settings == dict(arch=SIZES, window_size=3, out_indices=(0, 1))
    wider = make(window_size=5)
    assert 'bias tables 5x5 -> 9x9 in 3 blocks' in (
        load_backbone(wider, path).summary()
    )


def test_names():
    with torch.device('meta'):
        state = MiniSwin('small').state_dict()
    assert describe(state).startswith('Mini-Swin-S (embed_dims 96, depths 2-')
    assert backbone_settings(state)['arch'] == 'small'
    assert {
        'layers.2.blocks.8.norm1_list.1.weight',
        'layers.2.blocks.8.attn.qkv.weight',
        'layers.2.blocks.8.attn.relative_position_bias_table',
        'layers.2.blocks.8.proj_l.1.weight',
        'layers.2.blocks.8.proj_w.0.bias',
        'layers.2.blocks.8.local_norm_list.0.bias',
        'layers.2.blocks.8.local_conv_list.1.weight',
        'layers.2.blocks.8.norm2_list.0.weight',
        'layers.2.blocks.8.mlp.fc2.weight',
    } <= set(state)
    assert 'layers.2.blocks.9.attn.qkv.weight' not in state


def test_conversion_is_complete():
    file = official(make())
    converted = convert_checkpoint(file, 'official')
    stored = {
        name: value
        for name, value in file['model'].items()
        if not name.endswith(('index', 'attn_mask'))
    }
    assert converted.weights.keys() == stored.keys()
    for name, value in stored.items():
        assert torch.equal(converted.weights[name], value), name
    del file['model']['layers.1.blocks.1.proj_l.1.bias']
    with pytest.raises(CheckpointError, match='blocks.1.proj_l.1.bias'):
        convert_checkpoint(file, 'official')
    with pytest.raises(CheckpointError, match='mmdet has no Mini-Swin'):
        convert_checkpoint(official(make()), 'mmdet')


def test_bad_arguments():
    with pytest.raises(ValueError, match='a multiple of blocks'):
        MiniSwin(dict(SIZES, depths=(3, 3)))
    with pytest.raises(TypeError, match="'mask_padding'"):
        MiniSwin(mask_padding=True)
