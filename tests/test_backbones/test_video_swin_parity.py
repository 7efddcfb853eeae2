"""The same weights give the outputs and gradients of mmaction2's class."""

from itertools import product
from operator import itemgetter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from helpers.kernel_sets import FOR_CPU
from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense import kernels
from swin_dense.backbones import SwinTransformer3D

mmaction = pytest.importorskip('mmaction', reason='mmaction2 is not installed')
from mmaction.models import backbones as mmaction_backbones  # noqa: E402
from mmaction.registry import MODELS  # noqa: E402

# See test_swin_parity.py.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SIZES = dict(embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 4))
ALL = (0, 1, 2, 3)


@pytest.fixture(params=FOR_CPU, autouse=True)
def each_kernels(request):
    """Run a test with each set of kernels."""
    with kernels.use(request.param):
        yield


def make_pair(dtype, arch=None, **kwargs):
    """Build our model and mmaction2's with the same random weights."""
    # With some seeds and 40 frames, mmaction2's float32 result is off its
    # float64 result by 1.4e-5; ours is off by 5e-6.
    torch.manual_seed(1)
    kwargs = {'drop_path_rate': 0.0, 'out_indices': ALL, **kwargs}
    kwargs['arch'] = arch or SIZES
    model = randomize(SwinTransformer3D(**kwargs).to(dtype))
    reference = mmaction_backbones.SwinTransformer3D(**kwargs).to(dtype)
    missing, unexpected = reference.load_state_dict(
        model.state_dict(), strict=False
    )
    assert not unexpected
    assert all('relative_position_index' in name for name in missing)
    return model, reference


def stage_grids(model, size):
    """Return the size in tokens of the maps of each stage."""
    grid = [-(-s // p) for s, p in zip(size, model.patch_size)]
    for _ in model.layers:
        yield tuple(grid)
        grid = grid[:1] + [-(-g // 2) for g in grid[1:]]


def correct(reference, size):
    """Gather the biases of shrunken windows by coordinates.

    Their class takes the first rows and columns of the index of the full
    window, whatever the shape of the shrunken one.

    Returns:
        The first stage where this makes a difference, if any.
    """
    first = None
    window = reference.window_size
    for stage, grid in enumerate(stage_grids(reference, size)):
        fitted = [min(g, w) for g, w in zip(grid, window)]
        tokens = torch.tensor(list(product(*map(range, fitted))))
        offsets = tokens[:, None] - tokens + torch.tensor(window) - 1
        index = (offsets[..., 0] * (2 * window[1] - 1) + offsets[..., 1]) * (
            2 * window[2] - 1
        ) + offsets[..., 2]
        for block in reference.layers[stage].blocks:
            old = block.attn.relative_position_index
            differs = not torch.equal(old[: len(index), : len(index)], index)
            block.attn.relative_position_index = index
        if differs and first is None:
            first = stage
    return first


def compare(model, reference, x, outputs=ALL):
    """Compare outputs with and without gradients, and all gradients."""
    tolerance = TOLERANCE[x.dtype]
    choose = itemgetter(*outputs)
    expected = choose(reference(x))
    weights = [torch.randn_like(out) / out.numel() ** 0.5 for out in expected]
    sum((out * w).sum() for out, w in zip(expected, weights)).backward()
    results = choose(model(x))
    sum((out * w).sum() for out, w in zip(results, weights)).backward()
    for out, other in zip(results, expected):
        assert_close(out, other, tolerance)
    model.eval()
    with torch.no_grad():
        for out, other in zip(choose(model(x)), expected):
            assert_close(out, other, tolerance)
    grads = {name: p.grad for name, p in reference.named_parameters()}
    for name, parameter in model.named_parameters():
        if grads[name] is None:  # a parameter of a stage that is not compared
            assert parameter.grad is None
            continue
        # Gradients differ in scale, so errors are relative.
        scale = max(1.0, grads[name].abs().max().item())
        assert_close(parameter.grad / scale, grads[name] / scale, tolerance)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'size, window',
    [
        ((8, 112, 112), (8, 7, 7)),  # the window shrinks in time, and at last
        ((9, 100, 130), (8, 7, 7)),
        ((4, 240, 250), (8, 7, 7)),  # in time only
        ((2, 225, 230), (8, 7, 7)),
        ((40, 64, 60), (16, 7, 7)),
        ((7, 90, 130), (2, 4, 5)),
        ((20, 33, 34), (4, 7, 3)),
    ],
)
def test_sizes_and_windows(dtype, size, window):
    model, reference = make_pair(dtype, window_size=window)
    x = torch.randn(1, 3, *size, dtype=dtype)
    first = correct(reference, size)
    spatial = [
        any(g < w for g, w in zip(grid[1:], window[1:]))
        for grid in stage_grids(reference, size)
    ]
    assert first == (spatial.index(True) if any(spatial) else None)
    compare(model, reference, x)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'size, stages',
    [
        ((8, 112, 112), 3),
        ((32, 224, 224), 4),
        ((9, 100, 130), 3),
        ((4, 240, 250), 4),
    ],
)
def test_class_as_it_is(dtype, size, stages):
    model, reference = make_pair(dtype)
    x = torch.randn(2 if size[1] < 200 else 1, 3, *size, dtype=dtype)
    compare(model, reference, x, range(stages))
    if stages < len(ALL):  # height and width shrink there
        assert (model(x)[stages] - reference(x)[stages]).abs().max() > 0.1


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(qkv_bias=False),
        dict(qk_scale=0.3, mlp_ratio=2),
        dict(patch_norm=False),
        dict(act_cfg=dict(type='ReLU')),
        dict(norm_cfg=dict(type='LN', eps=1e-3)),
        dict(out_after_downsample=True),
        dict(in_channels=4),
        dict(patch_size=(4, 4, 4)),
        dict(patch_size=(1, 2, 3)),
        dict(with_cp=True),
    ],
)
def test_arguments(kwargs):
    size = (9, 65, 61)
    model, reference = make_pair(
        torch.float64, window_size=(2, 3, 4), **kwargs
    )
    correct(reference, size)
    compare(
        model,
        reference,
        torch.randn(
            2, kwargs.get('in_channels', 3), *size, dtype=torch.float64
        ),
    )


def test_single_output():
    model, reference = make_pair(torch.float64, out_indices=(2,))
    x = torch.randn(1, 3, 4, 112, 112, dtype=torch.float64)
    assert_close(model(x), reference(x), 1e-10)


def test_swin_tiny():
    model, reference = make_pair(torch.float32, 'tiny')
    correct(reference, (8, 64, 64))
    compare(model, reference, torch.randn(1, 3, 8, 64, 64))


@pytest.fixture
def recipe():
    """Return the model of a recipe of mmaction2, with fewer channels."""
    path = Path(mmaction.__file__).parent / '.mim/configs/_base_/models'
    model = Config.fromfile(path / 'swin_tiny.py').model
    model._scope_ = 'mmaction'  # as default_scope does in a whole config
    model.backbone.arch = SIZES
    model.cls_head.update(in_channels=64, num_classes=5)
    return model


def test_recipe_of_mmaction2_by_type_alone(recipe):
    from mmaction.structures import ActionDataSample

    reference = randomize(MODELS.build(recipe))
    recipe.backbone.type = 'swin_dense.SwinTransformer3D'
    output = MODELS.build(recipe)
    assert type(output.backbone) is SwinTransformer3D
    output.init_weights()
    incompatible = output.load_state_dict(reference.state_dict(), strict=False)
    assert not incompatible.missing_keys
    correct(reference.backbone, (8, 64, 64))
    clips = [
        torch.randint(0, 256, (1, 3, 8, 64, 64)).float() for _ in range(2)
    ]
    samples = [ActionDataSample().set_gt_label(label) for label in (1, 4)]
    data = dict(inputs=clips, data_samples=samples)
    scores, losses = [], []
    for model in (output, reference):
        model.eval()  # no dropout, no stochastic depth
        batch = model.data_preprocessor(data)
        losses.append(model(**batch, mode='loss')['loss_cls'])
        with torch.no_grad():
            results = model(**batch, mode='predict')
        scores.append(torch.stack([r.pred_score for r in results]))
    assert_close(scores[0], scores[1], 1e-5)
    assert_close(losses[0], losses[1], 1e-5)
    assert scores[0].shape == (2, 5)


def test_views_of_a_test_in_turns(recipe):
    recipe.backbone.type = 'swin_dense.SwinTransformer3D'
    recipe.test_cfg = dict(max_testing_views=2)
    model = MODELS.build(recipe).eval()
    views = torch.randn(1, 5, 3, 4, 32, 32)
    with torch.no_grad():
        turns, _ = model.extract_feat(views, test_mode=True)
        model.test_cfg = None
        at_once, _ = model.extract_feat(views, test_mode=True)
    assert_close(turns, at_once, 1e-5)
