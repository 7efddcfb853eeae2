"""Predict in a folder of strangers: bad files are named, the others done."""

import json
import os
import signal
import threading
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from helpers.command_line import CONFIG as DETECTOR
from helpers.command_line import run, tool
from helpers.hostile_paths import write_hostile_paths
from helpers.moving_squares import moving_square
from swin_dense.engine import json_stream
from swin_dense.engine.launch import load_config
from swin_dense.engine.tasks import task_of

pytest.importorskip('mmseg', reason='a model is of mmseg')
pytest.importorskip('mmaction', reason='a model is of mmaction2')
pytest.importorskip('av', reason='clips are written by PyAV')

FOLDER = Path(__file__).parents[1] / 'helpers'
# Names of bytes that are no text, of signs that mean something elsewhere, and
# as long as a file system takes.
NAMES = (
    'plain',
    os.fsdecode(b'\xff\xfe'),
    'two\nlines',
    '-rf',
    '%03d',
    'x' * 250,
)
CONFIGS = dict(
    detector=(DETECTOR, ('circle', 'square', 'triangle')),
    segmentor=(str(FOLDER / 'tiny_upernet.py'), None),
    recognizer=(str(FOLDER / 'tiny_video_swin.py'), ('right', 'left')),
)


@pytest.fixture(scope='module', params=CONFIGS)
def model(request, tmp_path_factory):
    """A model of each kind: config, checkpoint and suffix of its inputs."""
    from mmseg.datasets import ADE20KDataset

    config, classes = CONFIGS[request.param]
    cfg = load_config(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    weights = revert_sync_batchnorm(MODELS.build(cfg.model)).state_dict()
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    classes = classes or ADE20KDataset.METAINFO['classes']
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(meta=meta, state_dict=weights), path)
    return config, path, '.mp4' if request.param == 'recognizer' else '.bmp'


def write_good(folder, names, suffix):
    """Write a readable input of each name."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    content = cv2.imencode('.bmp', pixels)[1].tobytes()
    if suffix == '.mp4':
        from swin_dense.data.video_writer import write_video

        write_video(folder / 'first.mp4', moving_square(0, 8), 10)
        content = (folder / 'first.mp4').read_bytes()
        (folder / 'first.mp4').unlink()
    for name in names:
        (folder / f'{name}{suffix}').write_bytes(content)


def predicted(out):
    """Names of the inputs in `predictions.json` or the label maps."""
    path = out / 'predictions.json'
    if not path.exists():
        return {path.name[:1] for path in (out / 'labels').iterdir()}
    return {Path(e['file_name']).stem for e in json.loads(path.read_text())}


def test_bad_ones_are_named_and_the_others_kept(model, tmp_path, capsys):
    config, checkpoint, suffix = model
    source, out = tmp_path / 'in', tmp_path / 'out'
    write_good(source, NAMES, suffix)
    hostile = write_hostile_paths(source, suffix)
    (source / f'text{suffix}').write_text('no picture')
    assert run('predict', config, checkpoint, source, '--out', out) == 1
    shown = capsys.readouterr()
    for path, reason in hostile.items():
        if path.stem != 'folder' or suffix == '.bmp':
            assert f'skipped: {path} {reason}' in shown.err
    assert f'skipped: {source}/text{suffix} ' in shown.err
    assert '8 of 14 ' in shown.err and 'Traceback' not in shown.err
    pictures = [
        path for path in out.iterdir() if path.suffix in ('.png', '.mp4')
    ]
    assert len(pictures) == len(NAMES)
    assert all(path.stat().st_size for path in pictures)
    assert not list(out.rglob('*.partial'))
    if suffix == '.mp4':
        assert predicted(out) == {*NAMES}


def test_one_narrow_picture_does_not_end_the_others(model, tmp_path, capsys):
    """Its shorter side becomes 0 when it is resized."""
    config, checkpoint, suffix = model
    if suffix == '.mp4':
        pytest.skip('videos are not as narrow')
    source, out = tmp_path / 'in', tmp_path / 'out'
    write_good(source, ['a', 'c'], suffix)
    cv2.imwrite(str(source / 'b.bmp'), np.zeros((1, 100_000, 3), np.uint8))
    assert run(
        'predict', config, checkpoint, source, '--out', out, '--batch-size', 3
    ) in (0, 1)
    shown = capsys.readouterr()
    assert '2 images' in shown.out or '3 images' in shown.out
    if '2 images' in shown.out:
        assert f'{source}/b.bmp (100000x1 pixels) cannot be pred' in shown.err
        assert '1 of 3 images could not be read' in shown.err
    assert {'a.bmp.png', 'c.bmp.png'} <= {path.name for path in out.iterdir()}


@pytest.mark.parametrize('status', [130, 143])
def test_what_is_done_is_kept_when_it_is_stopped(
    model, tmp_path, monkeypatch, status
):
    """By Ctrl-C and by SIGTERM, at the third input."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip('signals come to the main thread')
    config, checkpoint, suffix = model
    source, out = tmp_path / 'in', tmp_path / 'out'
    write_good(source, 'abcd', suffix)
    # As late as it may be brought up to date: only stopping writes it.
    monkeypatch.setattr(json_stream, 'SHARE', 1e-9)
    seen = []
    kind = task_of(load_config(config)).load('predictor')
    method = 'predict' if suffix == '.mp4' else 'predict_batch'
    predict = getattr(kind, method)

    def stop(self, images):
        if len(seen) == 2:
            if status == 130:
                raise KeyboardInterrupt
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(5)
        seen.append(images)
        return predict(self, images)

    monkeypatch.setattr(kind, method, stop)
    assert run('predict', config, checkpoint, source, '--out', out) == status
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert len(seen) == 2
    pictures = [
        path for path in out.iterdir() if path.suffix in ('.png', '.mp4')
    ]
    assert len(pictures) == 2
    assert not list(out.rglob('*.partial'))
    # A detector that knows nothing may find nothing.
    assert predicted(out) <= {'a', 'b'}
    if 'mask_rcnn' not in config:
        assert predicted(out) == {'a', 'b'}


@pytest.mark.parametrize(
    'shape, kind',
    [
        ((10**12,), '<f8'),
        ((), '<U9999999'),
        ((10**6, 10**6), '<U1'),
        ((), '|O'),
        ((), '<f8'),
    ],
)
def test_features_that_claim_a_size(tmp_path, shape, kind):
    """No array of that size is made, and no object is built."""
    path = tmp_path / 'x.npz'
    with (
        zipfile.ZipFile(path, 'w') as archive,
        archive.open('settings.npy', 'w') as entry,
    ):
        np.lib.format.write_array_header_1_0(
            entry, dict(shape=shape, fortran_order=False, descr=kind)
        )
        entry.write(bytes(64))
    is_done = tool('extract_features').is_done
    with pytest.raises(ValueError, match='x.npz was not written by this'):
        is_done(path, {})


def test_features_that_are_no_file(tmp_path):
    is_done = tool('extract_features').is_done
    for path, reason in write_hostile_paths(tmp_path, '.npz').items():
        if path.exists():
            with pytest.raises(ValueError, match=reason):
                is_done(path, {})
