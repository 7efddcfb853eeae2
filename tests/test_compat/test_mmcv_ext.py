"""How the stand-in for mmcv's compiled half is found, and when it is not."""

import importlib.util
import subprocess
import sys
import textwrap
import types
from importlib.machinery import PathFinder

import pytest
import torch

import swin_dense
from swin_dense.compat import mmcv_ext, mmcv_operators
from swin_dense.compat.operators.deform_conv import ConvGeometry, deform_conv


def python(code, path=None):
    """Run code in a fresh interpreter and return what it wrote."""
    environment = {'PYTHONPATH': str(path)} if path else None
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_import_is_silent_and_light():
    written = python("""
        import sys
        import swin_dense
        hosts = {'mmcv', 'mmdet', 'mmseg', 'mmaction', 'torchvision'}
        assert not hosts & set(sys.modules), hosts & set(sys.modules)
    """)
    assert written == ''


def test_importing_operators_imports_no_torchvision():
    written = python("""
        import sys
        import swin_dense
        import mmcv.ops
        assert 'torchvision' not in sys.modules
        assert 'swin_dense' in sys.modules['mmcv._ext'].__doc__
    """)
    assert written == ''


def test_compiled_mmcv_is_left_alone(tmp_path):
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / '_ext.py').write_text('compiled = True')
    written = python(
        """
        import swin_dense
        import mmcv._ext
        assert mmcv._ext.compiled
        assert not hasattr(mmcv._ext, 'nms')
    """,
        tmp_path,
    )
    assert written == ''


def test_applied_once():
    before = list(sys.meta_path)
    swin_dense.compat.apply()
    assert sys.meta_path == before
    kinds = [isinstance(f, mmcv_ext.ExtFinder) for f in sys.meta_path]
    assert kinds.count(True) == 1
    # A compiled module is found first.
    assert kinds.index(True) > sys.meta_path.index(PathFinder)


def test_serves_one_name_only():
    finder = mmcv_ext.ExtFinder()
    assert finder.find_spec('mmcv._ext') is not None
    for name in ('mmcv', 'mmcv._ext2', 'mmcv.ops', '_ext'):
        assert finder.find_spec(name) is None
    assert importlib.util.find_spec('mmcv._nothing') is None


def test_other_operator_raises_when_called():
    from mmcv.ops import RoIAlignRotated

    layer = RoIAlignRotated((2, 2), 1.0)
    with pytest.raises(NotImplementedError) as error:
        layer(
            torch.rand(1, 1, 4, 4),
            torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0, 0.0]]),
        )
    message = str(error.value)
    assert "mmcv operator 'roi_align_rotated_forward'" in message
    assert 'pip install mmcv==2.1.0' in message
    assert 'onedl-mmcv' in message


def test_private_names_are_not_operators():
    ext = importlib.import_module('mmcv._ext')
    assert not hasattr(ext, '__wrapped__')
    assert not hasattr(ext, '_private')


def test_environment_report_works():
    from mmcv.utils import collect_env

    report = collect_env()
    assert report['MMCV Compiler'] == 'n/a'
    assert report['MMCV CUDA Compiler'] == 'not available'


def test_host_registers_its_modules():
    written = python("""
        import swin_dense
        from mmdet.utils import register_all_modules
        register_all_modules()
        from mmdet.registry import MODELS
        assert MODELS.get('CascadeRCNN') and MODELS.get('DINO')
    """)
    assert 'Error' not in written


@pytest.fixture
def torchvision(monkeypatch):
    """A torchvision that records its calls and answers by our kernels."""
    calls = []
    ops = types.ModuleType('torchvision.ops')

    def record(function):

        def call(*args, **kwargs):
            calls.append((function.__name__, args, kwargs))
            return function(*args, **kwargs)

        setattr(ops, function.__name__, call)

    @record
    def nms(boxes, scores, iou_threshold):
        return mmcv_operators.suppression.nms(boxes, scores, iou_threshold)

    @record
    def roi_align(
        features, boxes, output_size, spatial_scale, sampling_ratio, aligned
    ):
        grid = torch.zeros(len(boxes), features.size(1), *output_size)
        return grid + 3 * features.sum()

    @record
    def deform_conv2d(
        input,
        offset,
        weight,
        bias=None,
        stride=1,
        padding=0,
        dilation=1,
        mask=None,
    ):
        geometry = ConvGeometry(
            stride,
            padding,
            dilation,
            input.size(1) // weight.size(1),
            offset.size(1) // (2 * weight[0, 0].numel()),
        )
        return deform_conv(input, offset, mask, weight, geometry)

    # In the place where it is asked for alone: an installed torchvision stays
    # what it is for everybody else.
    monkeypatch.setattr(mmcv_operators, 'torchvision_ops', lambda device: ops)
    return calls


def test_torchvision_serves_nms(torchvision):
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.1]])
    scores = torch.tensor([0.5, 0.6])
    assert nms(boxes, scores, 0.5)[1].tolist() == [1]
    assert len(torchvision) == 1
    assert nms(boxes, scores, 0.5, offset=1)[1].tolist() == [1]
    assert len(torchvision) == 1  # it has no offset


def test_torchvision_serves_mean_roi_align(torchvision):
    from mmcv.ops import roi_align

    features = torch.rand(1, 2, 4, 4, requires_grad=True)
    rois = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
    output = roi_align(features, rois, (2, 3), 0.5, 2, 'avg', True)
    name, args, _ = torchvision[-1]
    assert name == 'roi_align'
    assert args[2:] == ((2, 3), 0.5, 2, True)
    torch.testing.assert_close(output[0, 0, 0, 0], 3 * features.sum())
    output.sum().backward()
    assert torch.equal(features.grad, torch.full_like(features, 2 * 6 * 3))
    # It has no maximum.
    count = len(torchvision)
    roi_align(features, rois, (2, 3), 0.5, 2, 'max', True).sum().backward()
    assert len(torchvision) == count


def test_torchvision_serves_deformable_convolution(torchvision):
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    inputs = torch.rand(2, 4, 5, 5, requires_grad=True)
    weight = torch.rand(6, 2, 3, 3, requires_grad=True)
    offset = torch.rand(2, 36, 3, 4)
    mask = torch.rand(2, 18, 3, 4)
    options = (2, (1, 2), 1, 2, 2)
    outputs = [
        deform_conv2d(inputs, offset, weight, *options),
        modulated_deform_conv2d(inputs, offset, mask, weight, None, *options),
    ]
    for (name, _, kwargs), given in zip(torchvision, (None, mask)):
        assert name == 'deform_conv2d'
        assert kwargs['stride'] == (2, 2)
        assert kwargs['padding'] == (1, 2)
        assert (kwargs['mask'] is None) == (given is None)
    for output in outputs:
        output.sum().backward()
    served = [name for name, _, _ in torchvision]
    # Forward twice; backward for v1 in two calls, for v2 in one.
    assert served == ['deform_conv2d'] * 5


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_torchvision_gets_single_precision(torchvision, dtype):
    from mmcv.ops import modulated_deform_conv2d, nms, roi_align

    def values(*shape):
        return torch.rand(*shape, dtype=dtype, requires_grad=True)

    features = values(1, 2, 4, 4)
    rois = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]], dtype=dtype)
    outputs = [
        roi_align(features, rois, 1, 1.0, 2, 'avg', True),
        modulated_deform_conv2d(
            features,
            values(1, 18, 4, 4),
            values(1, 9, 4, 4),
            values(2, 2, 3, 3),
            None,
            1,
            1,
        ),
    ]
    for output in outputs:
        output.sum().backward()
        assert output.dtype == dtype
    nms(rois[:, 1:], rois[:, 0], 0.5)
    names = [name for name, *_ in torchvision]
    assert names == 2 * ['roi_align', 'deform_conv2d'] + ['nms']
    for _, args, kwargs in torchvision:
        tensors = [
            value
            for value in (*args, *kwargs.values())
            if isinstance(value, torch.Tensor)
        ]
        assert {value.dtype for value in tensors} == {torch.float32}


@pytest.fixture
def trial():
    """The trial of torchvision, without the memory of earlier ones."""
    mmcv_operators.torchvision_ops.cache_clear()
    yield mmcv_operators.torchvision_ops
    mmcv_operators.torchvision_ops.cache_clear()


@pytest.mark.parametrize(
    'error', [ImportError, RuntimeError, OSError, AttributeError]
)
def test_broken_torchvision_is_passed_over(monkeypatch, trial, error):

    def fail(*args):
        raise error('torchvision::nms does not exist')

    ops = types.ModuleType('torchvision.ops')
    ops.nms = fail
    package = types.ModuleType('torchvision')
    package.ops = ops
    # Nothing else is imported meanwhile that could keep parts of it.
    monkeypatch.setitem(sys.modules, 'torchvision', package)
    monkeypatch.setitem(sys.modules, 'torchvision.ops', ops)
    assert trial('cpu') is None


def test_installed_torchvision_is_used(trial):
    ops = pytest.importorskip(
        'torchvision.ops', reason='torchvision is not installed'
    )
    assert trial('cpu') is ops
