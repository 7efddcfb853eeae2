"""A wheel of this package suffices: configs, commands and metadata."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = (
    'swin_dense',
    'configs',
    'model-index.yml',
    'setup.py',
    'setup.cfg',
    'pyproject.toml',
    'README.md',
    'LICENSE',
)
# A config that somebody writes elsewhere: a recipe, cut down.
CONFIG = """
_base_ = 'swin_dense::mask_rcnn_swin_nano_shapes.py'
data = dict(generate=dict(num_images=2, image_size=64))
train_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(
    batch_size=1, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=100)
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Return a wheel that is built of a copy of the checkout."""
    if find_spec('setuptools') is None or find_spec('pip') is None:
        pytest.skip('needs pip and setuptools, to build without a network')
    copy = tmp_path_factory.mktemp('copy')
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy)
    options = '--no-deps --no-build-isolation --quiet -w dist'
    pip_wheel = ('-m', 'pip', 'wheel', *options.split(), '.')
    run_program(sys.executable, *pip_wheel, cwd=copy)
    (path,) = (copy / 'dist').glob('*.whl')
    return path


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """Return the Python of a new environment with the wheel.

    The dependencies are those of the environment that runs the tests, at the
    end of the path. A checkout that is installed there, editable, is not
    found: Python reads no .pth file of a folder on its path.
    """
    folder = tmp_path_factory.mktemp('environment')
    venv.create(folder, symlinks=True)
    python = folder / 'bin' / 'python'
    code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    site = Path(run_program(python, '-c', code, cwd=folder).strip())
    shared = {sysconfig.get_path(name) for name in ('purelib', 'platlib')}
    (site / 'dependencies.pth').write_text('\n'.join(sorted(shared)))
    options = '-m pip install --no-deps --no-index --quiet'
    run_program(python, *options.split(), wheel, cwd=folder)
    return python


def run_program(*command, cwd):
    """Run a program in a folder, without our code on Python's path.

    Returns:
        What it wrote on its output.
    """
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        index = archive.read('swin_dense/.mim/model-index.yml')
        metafile = archive.read('swin_dense/.mim/configs/metafile.yml')
    configs = {
        f'swin_dense/.mim/{path.relative_to(REPOSITORY).as_posix()}'
        for path in (REPOSITORY / 'configs').rglob('*.py')
    }
    modules = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / 'swin_dense').rglob('*.py')
    }
    assert len(configs) > 100 and configs | modules <= names
    assert 'swin_dense/py.typed' in names
    assert {name.split('/')[0] for name in names} == {
        'swin_dense',
        wheel.name.removesuffix('-py3-none-any.whl') + '.dist-info',
    }
    # As mmengine looks configs up: paths relative to `.mim`.
    assert yaml.safe_load(index) == {'Import': ['configs/metafile.yml']}
    for model in yaml.safe_load(metafile)['Models']:
        assert f'swin_dense/.mim/{model["Config"]}' in names


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith('/METADATA'))
        fields = Parser().parsestr(archive.read(name).decode())
    assert fields['Name'] == 'swin_dense'
    assert fields['Author'] == 'swin_dense developers'
    assert fields['License'] == 'Apache-2.0'
    assert fields['Requires-Python'] == '>=3.10'
    assert fields.get_all('Project-URL') == [
        'Swin Transformer, https://arxiv.org/abs/2103.14030',
        'Swin Transformer V2, https://arxiv.org/abs/2111.09883',
    ]


def test_configs_are_those_of_the_wheel(python, tmp_path):
    code = (
        'from swin_dense.engine.launch import load_config; '
        'print(load_config("upernet_swin_t_ade20k").filename)'
    )
    path = Path(run_program(python, '-c', code, cwd=tmp_path).strip())
    assert path.parts[-4:] == (
        'swin_dense',
        '.mim',
        'configs',
        'upernet_swin_t_ade20k.py',
    )
    assert python.parents[1] in path.parents


def test_pip_installs_the_command(python, tmp_path):
    command = python.with_name('swin-dense')
    assert '  check-label-maps ' in run_program(
        command, '--help', cwd=tmp_path
    )
    assert run_program(
        python, '-m', 'swin_dense', '--version', cwd=tmp_path
    ) == run_program(command, '--version', cwd=tmp_path)


@pytest.mark.slow  # 43 s of processor time
def test_train_test_and_predict(python, tmp_path):
    """By the command that pip installs, in a folder with no checkout."""
    pytest.importorskip('mmdet', reason='trains a detector')
    (tmp_path / 'mine.py').write_text(CONFIG)
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)

    def swin_dense(*args):
        command = python.with_name('swin-dense')
        return run_program(command, *args, cwd=tmp_path)

    assert swin_dense('check', 'mine.py').endswith('no problems\n')
    swin_dense('train', 'mine.py')
    weights = 'work_dirs/mine/iter_2.pth'
    swin_dense('test', 'mine.py', weights, '--out', 'metrics.json')
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['metrics']
    assert 0 <= metrics['coco/bbox_mAP'] <= 1
    swin_dense('predict', 'mine.py', weights, 'photo.png', '--out', 'out')
    assert cv2.imread(str(tmp_path / 'out/photo.png')).shape == photo.shape
    assert (tmp_path / 'out/predictions.json').is_file()
