"""mmaction2 in environments made for the test, each in its own process."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Prints the results of building mmaction2's models, as JSON.
LOOK = """
import json
import sys
from importlib.metadata import distribution
import torch
import swin_dense
from mmaction.registry import MODELS
model = MODELS.build(dict(
    type='mmaction.Recognizer3D',
    _scope_='mmaction',
    data_preprocessor=dict(type='ActionDataPreprocessor'),
    backbone=dict(
        type='swin_dense.SwinTransformer3D',
        arch=dict(embed_dims=8, depths=(1, 1), num_heads=(1, 1)),
        out_indices=(1, )),
    cls_head=dict(type='I3DHead', in_channels=16, num_classes=3)))
scores, _ = model.eval().extract_feat(torch.zeros(1, 1, 3, 4, 16, 16), 'head')
results = dict(scores=tuple(scores.shape))
for name in ('DRN', 'VindLUVQA'):
    try:
        MODELS.build(dict(type=name))
    except ImportError as error:
        results[name] = str(error)
from mmaction.models.localizers import DRN
results['imported'] = DRN.__name__
from mmaction.utils import dependency
results['stdlib'] = dependency.distribution is distribution
try:
    import importlib_metadata
except ModuleNotFoundError as error:
    results['absent'] = error.name
print(json.dumps(results))
"""


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """Link all installed packages but the optional ones of mmaction2."""
    pytest.importorskip('mmaction', reason='mmaction2 is not installed')
    hidden = ('transformers', 'timm', 'importlib_metadata', 'torchvision')
    folder = tmp_path_factory.mktemp('environment')
    roots = [Path(path) for path in sys.path if path.endswith('-packages')]
    assert Path(sysconfig.get_path('purelib')) in roots
    for root in roots:
        for entry in root.iterdir():
            link = folder / entry.name
            name = entry.name.split('-')[0].lower()
            if name not in hidden and not link.exists():
                link.symlink_to(entry)
    return folder


def run(code, *folders):
    """Return the output of a process that imports from these folders."""
    path = os.pathsep.join(map(str, (REPOSITORY, *folders)))
    done = subprocess.run(
        [sys.executable, '-S', '-c', code],
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def plain(environment):
    """Return the results of `LOOK` without optional packages."""
    return json.loads(run(LOOK, environment).splitlines()[-1])


@pytest.fixture(scope='module')
def multimodal(environment, tmp_path_factory):
    """Return the results of `LOOK` with a broken `transformers`."""
    folder = tmp_path_factory.mktemp('transformers')
    package = folder / 'transformers'
    package.mkdir()
    (package / '__init__.py').write_text('class BertTokenizer:\n    pass\n')
    info = folder / 'transformers-5.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: transformers\nVersion: 5.0\n'
    )
    return json.loads(run(LOOK, environment, folder).splitlines()[-1])


def test_recognizer_is_built_and_run(plain, multimodal):
    assert plain['scores'] == multimodal['scores'] == [1, 3]


def test_drn_says_that_it_is_missing(plain):
    assert plain['imported'] == 'DRN'
    assert 'DRN cannot be built: its code is missing' in plain['DRN']


def test_multimodal_models_say_what_they_need(plain, multimodal):
    assert 'requires extra multi-modal dependencies' in plain['VindLUVQA']
    message = multimodal['VindLUVQA']
    assert 'VindLUVQA cannot be built: mmaction2 1.2.0 was' in message
    assert "ModuleNotFoundError: No module named 'transformers." in message


def test_nobody_else_sees_the_back_port(plain):
    assert plain['stdlib'] and plain['absent'] == 'importlib_metadata'


def test_without_the_shim_the_wheel_does_not_import(environment):
    code = (
        'import sys\n'
        'import swin_dense\n'
        'sys.meta_path = [finder for finder in sys.meta_path if not\n'
        '                 type(finder).__module__.startswith("swin_")]\n'
        'try:\n'
        '    import mmaction.models\n'
        'except ModuleNotFoundError as error:\n'
        '    print(error.name)\n'
    )
    assert run(code, environment).strip() == 'mmaction.models.localizers.drn'


def test_a_mended_wheel_wins(tmp_path):
    for package in ('mmaction', 'models', 'localizers', 'drn'):
        tmp_path = tmp_path / package
        tmp_path.mkdir()
        (tmp_path / '__init__.py').write_text('')
    (tmp_path / 'drn.py').write_text('DRN = 42\n')
    code = (
        'import sys\n'
        f'sys.path.insert(0, {str(tmp_path.parents[3])!r})\n'
        'from swin_dense.compat import mmaction_imports\n'
        'mmaction_imports.install()\n'
        'mmaction_imports.install()\n'
        'finders = [type(finder).__name__ for finder in sys.meta_path]\n'
        'from mmaction.models.localizers.drn.drn import DRN\n'
        'print(finders.count("MendingFinder"),'
        ' finders.count("DRNFinder"), DRN)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ['1', '1', '42'], done.stderr
