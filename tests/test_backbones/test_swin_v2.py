import io
import threading
from functools import partial
from math import log

import pytest
import torch
from mmengine.registry import MODELS

from helpers.kernel_sets import FOR_CPU
from helpers.models import NARROW, count_tables, randomize
from helpers.models import make as make_backbone
from helpers.reference import assert_close
from swin_dense import kernels
from swin_dense.backbones import SwinTransformer, SwinTransformerV2
from swin_dense.layers import (
    CosineAttention,
    SwinBlock,
    WindowAttentionBase,
)
from swin_dense.ops import WindowLayout

make = partial(make_backbone, SwinTransformerV2)


def attentions(model):
    return [m for m in model.modules() if isinstance(m, CosineAttention)]


@pytest.fixture
def plain():
    """Run a test with the plain kernels."""
    with kernels.use('plain'):
        yield


@pytest.mark.parametrize('window', [8, (3, 5), [8, 4, (2, 3), 1]])
@pytest.mark.parametrize('size', [(1, 1), (5, 31), (33, 64), (100, 165)])
def test_outputs_are_as_declared(size, window):
    model = make(window_size=window, out_indices=(0, 2, 3)).eval()
    outputs = model(torch.randn(2, 3, *size))
    assert model.channels == (8, 32, 64)
    assert model.strides == (4, 16, 32)
    for out, channels, stride in zip(outputs, model.channels, model.strides):
        assert out.shape == (2, channels, *(-(-s // stride) for s in size))
        assert out.is_contiguous() and out.isfinite().all()


@pytest.mark.parametrize(
    'arch, params',
    [
        ('tiny', 27_579_498),
        ('Small', 48_960_762),
        ('b', 86_895_608),
        ('large', 195_205_620),
        ('huge', 655_079_632),
        ('giant', 2_997_850_848),
        ('giant_hub', 1_060_983_268),
    ],
)
def test_parameter_count(arch, params):
    # Published for T to L: 28, 50, 88 and 197 M with the classifier; for H
    # and G: 658 M and 3.0 B.
    with torch.device('meta'):
        model = SwinTransformerV2(arch)
    assert sum(p.numel() for p in model.parameters()) == params


def test_largest_sizes_have_an_extra_norm_every_six_blocks():
    with torch.device('meta'):
        model = SwinTransformerV2('giant')
    extra = [
        [block.norm3 is not None for block in stage.blocks]
        for stage in model.layers
    ]
    assert extra[2] == ([False] * 5 + [True]) * 7
    assert not any(extra[0] + extra[1] + extra[3])


def test_every_parameter_gets_a_gradient():
    model = make(
        dict(NARROW, extra_norm_every_n_blocks=2),
        use_abs_pos_embed=True,
        img_size=32,
    )
    sum(
        out.square().sum() for out in model(torch.randn(2, 3, 60, 70))
    ).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_state_has_parameters_only_and_official_names():
    model = make().eval()
    model(torch.randn(1, 3, 40, 40))
    names = set(model.state_dict())
    assert names == {name for name, _ in model.named_parameters()}
    prefix = 'layers.0.blocks.1.attn.'
    assert {n.removeprefix(prefix) for n in names if n.startswith(prefix)} == {
        'logit_scale',
        'cpb_mlp.0.weight',
        'cpb_mlp.0.bias',
        'cpb_mlp.2.weight',
        'q_bias',
        'v_bias',
        'qkv.weight',
        'proj.weight',
        'proj.bias',
    }
    merging = model.layers[0].downsample
    assert merging.reduction.weight.shape == (16, 32)
    assert merging.norm.weight.shape == (16,)
    assert model.layers[3].downsample is None


def test_initialisation():
    model = SwinTransformerV2(NARROW)
    model.init_weights()
    block = model.layers[2].blocks[1]
    for weight in (block.attn.qkv.weight, block.attn.cpb_mlp[0].weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.15)
    for norm in (block.norm1, block.norm2):
        assert norm.weight.eq(0).all() and norm.bias.eq(0).all()
    assert model.norm2.weight.eq(1).all()
    assert_close(block.attn.logit_scale, torch.full((2, 1, 1), log(10)), 1e-6)
    x = torch.randn(1, 4, 4, 32)
    assert torch.equal(block(x, WindowLayout((4, 4), (4, 4), (0, 0))), x)


def test_start_with_branches():
    model = SwinTransformerV2(
        NARROW | dict(extra_norm_every_n_blocks=1), branch_norm_init=0.5
    )
    model.init_weights()
    block = model.layers[2].blocks[1]
    for norm in (block.norm1, block.norm2):
        assert norm.weight.eq(0.5).all() and norm.bias.eq(0).all()
    for norm in (block.norm3, model.norm2, model.layers[0].downsample.norm):
        assert norm.weight.eq(1).all() and norm.bias.eq(0).all()


def test_start_of_attention():
    model = SwinTransformerV2(NARROW, logit_scale_init=0.5)
    for _ in range(2):
        scale = model.layers[1].blocks[0].attn.logit_scale
        assert scale.shape == (2, 1, 1)
        assert_close(scale, torch.full((2, 1, 1), log(0.5)), 1e-6)
        model.init_weights()


@pytest.mark.parametrize('value', [0, -1.0, 101])
def test_start_of_attention_out_of_range(value):
    message = f'logit_scale_init.* above 0 and at most 100, got {value}'
    with pytest.raises(ValueError, match=message):
        SwinTransformerV2(NARROW, logit_scale_init=value)


@pytest.mark.parametrize('size', [(96, 128), (65, 97), (20, 250)])
@pytest.mark.parametrize('window', [8, 7, (6, 16)])
def test_kernels_agree(window, size):
    model = make(window_size=window).double().eval()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    results = []
    for name in FOR_CPU:
        for grad in (False, True):
            with kernels.use(name), torch.set_grad_enabled(grad):
                results.append([out.detach() for out in model(x)])
    for outputs in results[1:]:
        for first, second in zip(outputs, results[0]):
            assert_close(first, second, 1e-11)


@pytest.mark.parametrize(
    'cls, kwargs',
    [
        (SwinTransformerV2, dict()),
        (SwinTransformerV2, dict(pad_small_map=True)),
        (SwinTransformer, dict(mask_padding=True)),
    ],
)
@pytest.mark.parametrize('scale', [2.0, log(100)])
def test_padding_is_not_seen(cls, kwargs, scale, monkeypatch):
    sizes = dict(arch=NARROW) if cls is SwinTransformerV2 else NARROW
    model = randomize(cls(**sizes, window_size=8, **kwargs)).eval()
    for attention in attentions(model):
        attention.logit_scale.data.fill_(scale)
    x = torch.randn(2, 3, 90, 113)
    expected = {}
    for name in FOR_CPU:
        with kernels.use(name):
            expected[name] = model(x)
    prepare = WindowAttentionBase.prepare

    def pad_with_junk(self, window, cache):
        terms = prepare(self, window, cache)
        return terms._replace(padding=100 * torch.randn(len(terms.padding)))

    def attend(self, x, layout, kernels):
        bias = prepare(self, layout.window, kernels.cache).padding
        qkv = kernels.linear(x, self.qkv.weight, bias)
        terms = pad_with_junk(self, layout.window, kernels.cache)
        x = kernels.window_attention(qkv, layout, terms)
        return self._project(x, kernels)

    monkeypatch.setattr(WindowAttentionBase, 'forward', attend)
    for name in FOR_CPU:
        with kernels.use(name):
            for out, other in zip(model(x), expected[name]):
                assert_close(out, other, 1e-5)
    for stage in model.layers:
        stage.mask_padding = False
    assert (model(x)[0] - expected['plain'][0]).abs().max() > 1e-2


def test_small_maps_shrink_the_window_per_axis():
    # One window of 3 x 8 and its neighbour: rows shrink, columns do not.
    model = (
        make(
            dict(embed_dims=8, depths=(2,), num_heads=(2,)),
            window_size=8,
            out_indices=(0,),
        )
        .double()
        .eval()
    )
    exact = (
        make(
            dict(embed_dims=8, depths=(2,), num_heads=(2,)),
            window_size=(3, 8),
            out_indices=(0,),
        )
        .double()
        .eval()
    )
    exact.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 12, 64, dtype=torch.float64)
    assert_close(model(x)[0], exact(x)[0], 1e-12)
    padded = (
        make(
            dict(embed_dims=8, depths=(2,), num_heads=(2,)),
            window_size=8,
            out_indices=(0,),
            pad_small_map=True,
        )
        .double()
        .eval()
    )
    padded.load_state_dict(model.state_dict())
    assert (padded(x)[0] - model(x)[0]).abs().max() > 1e-3


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    'case',
    [
        'padding',
        'zero image',
        'zero image, fresh weights',
        'clamp',
        'window 32',
        'small map',
    ],
)
def test_mixed_precision_stays_finite(case, dtype):
    window = 32 if case == 'window 32' else 8
    model = make(window_size=window, drop_path_rate=0.0)
    size = {'window 32': (150, 140), 'small map': (12, 40)}.get(case, (65, 97))
    x = torch.randn(2, 3, *size)
    if 'zero' in case:
        x.zero_()
    if 'fresh' in case:
        model.init_weights()
        for block in model.modules():  # so that branches reach the output
            if isinstance(block, SwinBlock):
                torch.nn.init.ones_(block.norm1.weight)
    if case == 'clamp':
        for attention in attentions(model):
            attention.logit_scale.data.fill_(9)
            attention.qkv.weight.data.mul_(30)
    reference = [out.detach() for out in model(x)]
    with torch.autocast('cpu', dtype):
        outputs = model(x)
        loss = sum(out.float().square().mean() for out in outputs)
    loss.backward()
    for out, other in zip(outputs, reference):
        assert out.isfinite().all()
        if case in ('padding', 'window 32', 'small map'):
            assert (out - other).square().mean().sqrt() < 0.1
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
    model.eval()
    with torch.no_grad(), torch.autocast('cpu', dtype):
        assert all(out.isfinite().all() for out in model(x))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_weights_stay_finite(dtype):
    model = make(window_size=4).eval()
    x = torch.randn(1, 3, 65, 50)
    expected = model(x)
    out = model.to(dtype)(x.to(dtype))
    for first, second in zip(out, expected):
        assert first.dtype == dtype
        assert (first.float() - second).square().mean().sqrt() < 0.1


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(with_cp=True),
        dict(sequential_attention=True),
        dict(with_cp=True, sequential_attention=True, frozen_stages=1),
    ],
)
@pytest.mark.parametrize('training', [False, True])
def test_saving_memory_changes_nothing(kwargs, training, plain):
    frozen = kwargs.get('frozen_stages', -1)
    models = [
        make(drop_path_rate=0.0, frozen_stages=frozen).double(),
        make(drop_path_rate=0.0, **kwargs).double(),
    ]
    models[1].load_state_dict(models[0].state_dict())
    x = torch.randn(1, 3, 50, 66, dtype=torch.float64)
    for model in models:
        model.train(training)
        sum(out.square().sum() for out in model(x)).backward()
    for (name, first), second in zip(
        models[0].named_parameters(), models[1].parameters()
    ):
        if first.grad is None:
            assert second.grad is None and not second.requires_grad, name
        else:
            scale = max(1.0, first.grad.abs().max().item())
            assert_close(second.grad / scale, first.grad / scale, 1e-12)


def test_freezing_counts_as_the_host():
    model = make(frozen_stages=1)
    assert model.frozen_stages == 1
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        n
        for n, _ in model.named_parameters()
        if n.startswith(
            (
                'patch_embed.',
                'layers.0.',
                'layers.1.blocks.',
                'norm0.',
                'norm1.',
            )
        )
    }
    model.train()
    assert not model.layers[1].blocks.training
    assert model.layers[1].downsample.training and model.layers[2].training
    assert not any(
        p.requires_grad
        for p in make(frozen_stages=0).layers[0].blocks.parameters()
    )
    assert all(p.requires_grad for p in make().parameters())


def test_table_is_computed_once_per_forward_then_kept(monkeypatch):
    computed = count_tables(monkeypatch)
    model = make()
    x = torch.randn(1, 3, 64, 64)
    model(x)
    assert len(computed) == 6  # one for each block
    model.eval()
    with torch.no_grad():
        model(x)
        assert len(computed) == 12
        model(x)
        model(torch.randn(2, 3, 64, 64))
        assert len(computed) == 12
    # A gradient needs a new table, unless the weights are frozen.
    model(x)
    assert len(computed) == 18
    model.requires_grad_(False)
    model(x)
    assert len(computed) == 18


def test_table_of_inference_mode_serves_gradients():
    model = make().eval().requires_grad_(False)
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        model(x)
    x.requires_grad_()
    model(x)[-1].sum().backward()
    assert x.grad.abs().sum() > 0
    with torch.inference_mode():
        created = make().eval()
        assert torch.equal(created(x)[-1], created(x)[-1])


def test_threads_share_a_model():
    model = make().eval()
    images = [torch.randn(1, 3, 16 + 16 * i, 48) for i in range(4)]
    with torch.no_grad():
        expected = [model(x)[-1] for x in images]
        model.eval()
        results = [[] for _ in images]

        def work(i):
            with torch.no_grad():
                for _ in range(5):
                    results[i].append(model(images[i])[-1])

        threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for outputs, out in zip(results, expected):
        assert len(outputs) == 5
        assert all(torch.equal(first, out) for first in outputs)


def test_traces_and_compiles():
    model = make().eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(x)
        traced = torch.jit.trace(model, x, check_trace=False)
        file = io.BytesIO()
        torch.jit.save(traced, file)
        file.seek(0)
        compiled = torch.compile(model, backend='eager')
        for second in (torch.jit.load(file), compiled):
            for out, first in zip(expected, second(x)):
                assert_close(first, out, 1e-5)


def test_found_by_scope_without_custom_imports():
    model = MODELS.build(
        dict(type='swin_dense.SwinTransformerV2', arch=NARROW)
    )
    assert type(model) is SwinTransformerV2


@pytest.mark.parametrize(
    'kwargs, error, message',
    [
        (dict(window=7), TypeError, "Did you mean 'window_size'"),
        (
            dict(arch='gigantic'),
            ValueError,
            'giant, giant_hub, or a dictionary of',
        ),
        (
            dict(arch=dict(depths=(2, 2))),
            ValueError,
            'embed_dims, depths, num_',
        ),
        (dict(window_size=(7, 7, 7)), ValueError, 'each of the 4 stages'),
        (dict(window_size=0), ValueError, 'window_size must be a positive'),
        (
            dict(pretrained_window_sizes=(12, 12, 12)),
            ValueError,
            'pretrained_window_sizes must be one number',
        ),
        (
            dict(pretrained_window_sizes=-1),
            ValueError,
            'pretrained_window_sizes',
        ),
        (
            dict(interpolate_mode='nearest'),
            ValueError,
            "'bicubic' or 'bilinear'",
        ),
        (dict(frozen_stages=4), ValueError, 'between -1 and 3'),
        (dict(stage_cfgs=[dict()] * 3), ValueError, 'one for each of the 4'),
        (dict(stage_cfgs=dict(depth=3)), ValueError, "cannot set 'depth'"),
        (
            dict(patch_cfg=dict(kernel_size=3)),
            ValueError,
            'set patch_size and',
        ),
        (dict(norm_cfg=dict(type='Bn')), ValueError, 'norm_cfg must name'),
        (
            dict(attn_drop_rate=0.1, sequential_attention=True),
            ValueError,
            'set it to 0',
        ),
        (dict(init_cfg=dict(type='Normal')), ValueError, "type='Pretrained'"),
    ],
)
def test_bad_arguments(kwargs, error, message):
    with pytest.raises(error, match=message):
        SwinTransformerV2(**{'arch': NARROW, **kwargs})
