"""The module that replaces mmcv's compiled operators is imported on demand."""

import importlib.util
import subprocess
import sys
import textwrap
from importlib.machinery import PathFinder

import pytest
import torch

import swin_dense
from swin_dense.compat import mmcv_ext


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
