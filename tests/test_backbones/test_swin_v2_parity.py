"""The same weights give the outputs and gradients of other packages."""

import pytest
import torch

from helpers.kernel_sets import FOR_CPU
from helpers.models import EVEN, randomize
from helpers.reference import assert_close
from helpers.v2_peers import hugging_face, mmpretrain
from swin_dense import kernels
from swin_dense.backbones import SwinTransformerV2

# Values are of order 5, so 1e-5 leaves a few units in the last place of
# float32 per layer.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
# Window, pretrained windows, image: maps of 64, 32, 16, 8 for 256 pixels.
SETTINGS = {
    'window 8, equal to the last map': (8, 0, 256),
    'window 16, above the last map': (16, 0, 256),
    'window 12 to 16': (16, (12, 12, 12, 6), 256),
    'window 12 to 24, above the last map': (24, (12, 12, 12, 6), 384),
    'window just above the last map': (9, 0, 288),
    'window of the last map': (9, (8, 8, 8, 8), 288),
    'window just above all maps': (17, 0, 64),
    'window of one token': (8, 0, 32),
}


@pytest.fixture(params=FOR_CPU, autouse=True)
def each_kernels(request):
    """Run a test with each set of kernels."""
    with kernels.use(request.param):
        yield


def make_v2(dtype, arch=None, **kwargs):
    return randomize(
        SwinTransformerV2(arch or EVEN, **kwargs).to(dtype)
    ).eval()


def compare(model, reference, x):
    """Compare outputs and the gradient of the input."""
    tolerance = TOLERANCE[x.dtype]
    x.requires_grad_()
    expected = reference(x)
    weights = [torch.randn_like(out) / out.numel() ** 0.5 for out in expected]
    outputs = model(x)
    grads = [
        torch.autograd.grad(
            sum((out * w).sum() for out, w in zip(maps, weights)), x
        )[0]
        for maps in (outputs, expected)
    ]
    assert len(outputs) == len(expected)
    with torch.no_grad():
        for out, other, again in zip(outputs, expected, model(x)):
            assert_close(out, other, tolerance)
            assert_close(again, other, tolerance)
    assert_close(grads[0], grads[1], tolerance)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('setting', SETTINGS)
def test_hugging_face(setting, dtype):
    window, pretrained, size = SETTINGS[setting]
    model = make_v2(
        dtype, window_size=window, pretrained_window_sizes=pretrained
    )
    compare(
        model,
        hugging_face(model, (size, size)),
        torch.randn(2, 3, size, size, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('window', [7, 15])
def test_hugging_face_sees_padding(window, dtype):
    # Just below the maps of 8 and 16 tokens, which are padded then.
    model = make_v2(dtype, window_size=window, mask_padding=False)
    compare(
        model,
        hugging_face(model, (256, 256)),
        torch.randn(1, 3, 256, 256, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_hugging_face_tiny(dtype):
    model = make_v2(dtype, 'tiny')
    compare(
        model,
        hugging_face(model, (256, 256)),
        torch.randn(1, 3, 256, 256, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize(
    'kwargs, size',
    [
        (dict(window_size=8), (256, 384)),
        (dict(window_size=16), (512, 512)),
        (dict(window_size=[16, 8, 4]), (256, 384)),
        (
            dict(window_size=16, pretrained_window_sizes=(12, 12, 6)),
            (512, 512),
        ),
    ],
)
def test_mmpretrain(kwargs, size, dtype):
    # Three stages and maps larger than the window: where a map equals the
    # window, the host rolls back a shift that it did not do.
    arch = dict(
        embed_dims=16,
        depths=(2, 2, 2),
        num_heads=(1, 2, 4),
        extra_norm_every_n_blocks=0,
    )
    kwargs = dict(drop_path_rate=0.0, out_indices=(0, 1, 2), **kwargs)
    model = make_v2(dtype, arch, **kwargs)
    compare(
        model,
        mmpretrain(model, arch=arch, **kwargs),
        torch.randn(1, 3, *size, dtype=dtype),
    )


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(window_size=8),
        dict(window_size=11, pretrained_window_sizes=[8, 8, 8, 4]),
        dict(extra_norm_every_n_blocks=2),
        dict(norm_cfg=None, out_indices=(1, 3)),
        dict(norm_cfg=dict(type='LN', eps=1e-3)),
        dict(use_abs_pos_embed=True, img_size=(96, 128)),
        dict(
            use_abs_pos_embed=True,
            img_size=(64, 64),
            interpolate_mode='bilinear',
        ),
        dict(patch_cfg=dict(norm_cfg=None)),
        dict(in_channels=4, patch_size=2),
        dict(
            stage_cfgs=[
                dict(window_size=4),
                dict(pretrained_window_size=6),
                dict(pad_small_map=True),
                dict(),
            ]
        ),
    ],
)
def test_mmpretrain_arguments(kwargs):
    # mmpretrain pads small maps, sees padding, and resizes in float32.
    kwargs = {
        'out_indices': (0, 1, 2, 3),
        'drop_path_rate': 0.0,
        'pad_small_map': True,
        **kwargs,
    }
    extra_norm = kwargs.pop('extra_norm_every_n_blocks', 0)
    arch = dict(EVEN, extra_norm_every_n_blocks=extra_norm)
    resizes = kwargs.get('use_abs_pos_embed')
    dtype = torch.float32 if resizes else torch.float64
    model = make_v2(dtype, arch, mask_padding=False, **kwargs)
    x = torch.randn(2, kwargs.get('in_channels', 3), 90, 117, dtype=dtype)
    compare(model, mmpretrain(model, arch=arch, **kwargs), x)
