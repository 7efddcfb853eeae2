"""The same weights give the outputs and gradients of mmdet's class."""

import pytest
import torch

from helpers.kernel_sets import FOR_CPU
from helpers.models import EVEN, randomize
from helpers.reference import assert_close
from helpers.state_dicts import to_native
from swin_dense import kernels
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.layouts.export import export

mmdet_swin = pytest.importorskip('mmdet.models.backbones.swin')

# Values are of order 5, so 1e-5 leaves a few units in the last place of
# float32 per layer.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(params=FOR_CPU, autouse=True)
def each_kernels(request):
    """Run a test with each set of kernels."""
    with kernels.use(request.param):
        yield


def make_pair(dtype, **kwargs):
    """Build our model and mmdet's with the same random weights."""
    kwargs = {**EVEN, 'drop_path_rate': 0.0, **kwargs}
    model = randomize(SwinTransformer(**kwargs).to(dtype))
    reference = mmdet_swin.SwinTransformer(**kwargs).to(dtype)
    missing, unexpected = reference.load_state_dict(
        export(model.state_dict(), 'mmdet'), strict=False
    )
    assert not unexpected
    assert all('relative_position_index' in name for name in missing)
    return model, reference


def compare(model, reference, x):
    """Compare outputs with and without gradients, and all gradients."""
    tolerance = TOLERANCE[x.dtype]
    expected = reference(x)
    weights = [torch.randn_like(out) / out.numel() ** 0.5 for out in expected]
    sum((out * w).sum() for out, w in zip(expected, weights)).backward()
    outputs = model(x)
    sum((out * w).sum() for out, w in zip(outputs, weights)).backward()
    for out, other in zip(outputs, expected):
        assert out.is_contiguous()
        assert_close(out, other, tolerance)
    model.eval()
    with torch.no_grad():
        for out, other in zip(model(x), expected):
            assert_close(out, other, tolerance)
    native, _ = to_native(
        {name: p.grad for name, p in reference.named_parameters()}
    )
    for name, parameter in model.named_parameters():
        # Gradients differ in scale, so errors are relative.
        scale = max(1.0, native[name].abs().max().item())
        assert_close(parameter.grad / scale, native[name] / scale, tolerance)


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('window', [7, 12])
@pytest.mark.parametrize('size', [(224, 224), (200, 333), (65, 97)])
def test_sizes_and_windows(dtype, size, window):
    compare(
        *make_pair(dtype, window_size=window),
        torch.randn(2, 3, *size, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_in_many_chunks(dtype, monkeypatch):
    if 'cpu' in FOR_CPU:
        from swin_dense.kernels.cpu import chunks

        monkeypatch.setattr(chunks, 'CHUNK_BYTES', 2**16)
        monkeypatch.setattr(chunks, 'WHOLE_BYTES', 0)
        monkeypatch.setattr(chunks, 'CACHE_BYTES', 0)
    compare(*make_pair(dtype), torch.randn(2, 3, 65, 97, dtype=dtype))


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_large_image(dtype):
    compare(
        *make_pair(dtype, embed_dims=8, num_heads=(1, 1, 2, 4)),
        torch.randn(2, 3, 800, 1333, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('window', [7, 12])
@pytest.mark.parametrize('size', [(224, 224), (65, 97)])
def test_absolute_embedding(dtype, size, window):
    whole = tuple(s + -s % 4 for s in size)  # mmdet does not interpolate
    compare(
        *make_pair(
            dtype,
            window_size=window,
            use_abs_pos_embed=True,
            pretrain_img_size=whole,
        ),
        torch.randn(2, 3, *size, dtype=dtype),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('size', [(200, 333), (65, 97)])
def test_checkpointed(dtype, size):
    compare(
        *make_pair(dtype, with_cp=True), torch.randn(2, 3, *size, dtype=dtype)
    )


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(qkv_bias=False),
        dict(qk_scale=0.3, mlp_ratio=2),
        dict(patch_norm=False),
        dict(act_cfg=dict(type='ReLU')),
        dict(norm_cfg=dict(type='LN', eps=1e-3)),
        dict(out_indices=(1, 3)),
        dict(in_channels=4),
        dict(
            depths=(1, 3, 2),
            num_heads=(2, 2, 2),
            strides=(4, 2, 2),
            out_indices=(0, 1, 2),
        ),
    ],
)
def test_arguments(kwargs):
    compare(
        *make_pair(torch.float64, **kwargs),
        torch.randn(
            2, kwargs.get('in_channels', 3), 65, 97, dtype=torch.float64
        ),
    )


@pytest.mark.parametrize('dtype', TOLERANCE)
def test_swin_tiny(dtype):
    compare(
        *make_pair(
            dtype, embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)
        ),
        torch.randn(1, 3, 100, 130, dtype=dtype),
    )
