"""`swin-dense export`: files that compute what PyTorch computes."""

import json
from pathlib import Path

import pytest
import torch

from helpers.command_line import CONFIG, error_of, run
from helpers.saved_models import save_model

HELPERS = Path(__file__).parents[1] / 'helpers'
CLASSES = ('disc', 'square', 'triangle')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    return save_model(CONFIG, folder / 'weights.pth', CLASSES)


def test_backbone_and_neck_as_pt2(detector, tmp_path, capsys):
    out = tmp_path / 'new' / 'neck.pt2'
    args = ('export', CONFIG, detector, '--out', out, '--size', 64, 80)
    assert run(*args) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert 'its heads are not exported' in shown
    assert 'input pixels: 1x3x64x80, float32, RGB, 0 to 255\n' in shown
    assert 'output map0: 1x8x16x20\n' in shown
    assert 'largest difference from PyTorch (torch.export): ' in (shown)
    assert [file.name for file in out.parent.iterdir()] == ['neck.pt2']
    extra = {'classes.json': ''}
    program = torch.export.load(out, extra_files=extra)
    assert json.loads(extra['classes.json']) == list(CLASSES)
    maps = program.module()(torch.zeros(1, 3, 64, 80))
    assert [tuple(m.shape[2:]) for m in maps] == [
        (16, 20),
        (8, 10),
        (4, 5),
        (2, 3),
    ]


def test_a_segmentor_as_onnx(tmp_path, capsys):
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    from mmseg.datasets import ADE20KDataset

    config = HELPERS / 'tiny_upernet.py'
    classes = ADE20KDataset.METAINFO['classes']
    weights = save_model(str(config), tmp_path / 'w.pth', classes)
    out = tmp_path / 'model.onnx'
    assert run('export', config, weights, '--out', out) == 0, (
        capsys.readouterr().err
    )
    shown = capsys.readouterr().out
    assert 'output logits: 1x150x32x32\n' in shown
    assert 'from PyTorch (ONNX Runtime): ' in shown
    model = onnx.load(out)
    (stored,) = [e for e in model.metadata_props if e.key == 'classes']
    assert json.loads(stored.value) == list(classes)


@pytest.mark.parametrize(
    'options, message',
    [
        (
            ['--out', 'a.tflite'],
            'a.tflite: its name must end in .onnx or .pt2',
        ),
        (['--out', 'a.pt2', '--size', 8], 'of 32 pixels or more'),
        (['--out', 'a.pt2', '--size', 64, 64, 64], 'got 64 64 64'),
    ],
)
def test_bad_options(detector, capsys, options, message):
    status = run('export', CONFIG, detector, *options)
    assert message in error_of(capsys, status)


def test_a_file_that_differs_is_not_written(
    detector, tmp_path, capsys, monkeypatch
):
    from swin_dense.deploy import export

    monkeypatch.setattr(export, 'TOLERANCE', -1.0)
    out = tmp_path / 'neck.pt2'
    args = ('export', CONFIG, detector, '--out', out, '--size', 32)
    status = run(*args, '--backbone')
    assert 'differs from PyTorch by' in error_of(capsys, status)
    assert not [*tmp_path.iterdir()]
