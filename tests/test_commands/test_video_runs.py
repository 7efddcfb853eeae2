"""Train, test, predict on and take features of clips, as a user would."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.command_line import CONFIG as DETECTOR
from helpers.command_line import error_of, run
from helpers.moving_squares import moving_square, write_videos
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.video import predict_files

pytest.importorskip('mmaction', reason='the models are of mmaction2')

CONFIG = str(Path(__file__).parents[1] / 'helpers' / 'tiny_video_swin.py')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp('videos'))


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """The work folder of a short training."""
    work_dir = tmp_path_factory.mktemp('work')
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            work_dir,
            '--seed',
            0,
            '--cfg-options',
            f'data_root={data}',
        )
        == 0
    )
    return work_dir


@pytest.fixture
def checkpoint(trained):
    return trained / 'epoch_1.pth'


def test_training_reports_and_keeps_the_classes(trained, checkpoint):
    content = read_checkpoint(checkpoint)
    meta = content['meta']['dataset_meta']
    assert list(meta['classes']) == ['right', 'left']
    log = next(trained.glob('*/*.log')).read_text()
    assert 'Batch of 2 clips per update' in log
    assert '4 clips of 2 classes' in log
    assert 'acc/top1' in log and 'acc/mean1' in log
    assert '4 videos scored, of 2 of 2 classes' in log
    assert list(trained.glob('best_acc_top1_epoch_1.pth'))


def test_resuming_goes_on(trained, checkpoint, data, tmp_path):
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            tmp_path,
            '--resume',
            checkpoint,
            '--cfg-options',
            f'data_root={data}',
            'train_cfg.max_epochs=2',
        )
        == 0
    )
    assert (tmp_path / 'epoch_2.pth').is_file()


def test_evaluation_writes_json(checkpoint, data, tmp_path, capsys):
    out = tmp_path / 'metrics.json'
    assert (
        run(
            'test',
            CONFIG,
            checkpoint,
            '--work-dir',
            tmp_path / 'work',
            '--out',
            out,
            '--cfg-options',
            f'data_root={data}',
        )
        == 0
    )
    content = json.loads(out.read_text())
    assert content['views'] == dict(clips=2, crops=3)
    result = content['metrics']
    assert set(result) == {'acc/top1', 'acc/mean1'}
    assert 0 <= result['acc/top1'] <= 1
    log = next(tmp_path.glob('work/*/*.log')).read_text()
    assert 'Each video is tested by 2 clips x 3 crops = 6 views' in log
    assert f'acc/top1: {result["acc/top1"]}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'options, message',
    [
        (['model.cls_head.num_classes=3'], 'has 2 classes, the model 3'),
        (
            ["test_dataloader.dataset.metainfo.classes=['left','right']"],
            'another order',
        ),
        (
            ["test_dataloader.dataset.metainfo.classes=['up','down']"],
            'other classes',
        ),
    ],
)
def test_evaluation_of_other_classes(
    checkpoint, data, tmp_path, capsys, options, message
):
    error = error_of(
        capsys,
        run(
            'test',
            CONFIG,
            checkpoint,
            '--work-dir',
            tmp_path,
            '--cfg-options',
            f'data_root={data}',
            *options,
        ),
    )
    assert message in error


def test_prediction(checkpoint, data, tmp_path, capsys):
    assert (
        run(
            'predict',
            CONFIG,
            checkpoint,
            data,
            '--out',
            tmp_path,
            '--topk',
            1,
            '--stride',
            0.2,
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert f'{data / "0.mp4"}: 20 frames' in shown
    assert '0.00-0.32 s' in shown and '4 videos, 16 windows' in shown
    entries = json.loads((tmp_path / 'predictions.json').read_text())
    assert len(entries) == 4
    for number, entry in enumerate(entries):
        assert (tmp_path / f'{number}.mp4').is_file()
        assert len(entry['windows']) == 4 and entry['fps'] == 25
        assert [w['start'] for w in entry['windows']] == [0.0, 0.2, 0.4, 0.48]
        assert all(len(w['top']) == 1 for w in entry['windows'])


def test_prediction_names_bad_files(checkpoint, data, tmp_path, capsys):
    bad = tmp_path / 'in' / 'bad.mp4'
    bad.parent.mkdir()
    bad.write_bytes(b'no video')
    args = (
        'predict',
        CONFIG,
        checkpoint,
        bad,
        data / '1.mp4',
        '--out',
        tmp_path / 'out',
        '--strip',
    )
    error = error_of(capsys, run(*args))
    assert '1 of 2 videos could not be read' in error
    assert (tmp_path / 'out' / '1.mp4.jpg').is_file()
    assert run(*args, '--skip-bad') == 0
    assert f'skipped: {bad}' in capsys.readouterr().err
    entries = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [entry['file_name'] for entry in entries] == [str(data / '1.mp4')]


def test_strips_where_clips_cannot_be_written(
    checkpoint, data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(predict_files, 'find_spec', lambda name: None)
    assert (
        run('predict', CONFIG, checkpoint, data / '0.mp4', '--out', tmp_path)
        == 0
    )
    assert 'without PyAV' in capsys.readouterr().err
    assert (tmp_path / '0.mp4.jpg').is_file()


@pytest.mark.parametrize(
    'config, args, message',
    [
        (
            CONFIG,
            ['--score-thr', 0.5],
            '--score-thr is for detectors, and the ',
        ),
        (CONFIG, ['--tile', 64], '--tile is for segmentors'),
        (CONFIG, ['--topk', 0], '--topk must be 1 or more, got 0'),
        (CONFIG, ['--stride', -1], 'stride must be above 0, got -1'),
        (
            DETECTOR,
            ['--stride', 1],
            '--stride is for recognizers, and the model',
        ),
        (DETECTOR, ['--strip'], '--strip is for recognizers'),
    ],
)
def test_options_of_other_models(
    checkpoint, data, tmp_path, capsys, config, args, message
):
    assert message in error_of(
        capsys,
        run(
            'predict',
            config,
            checkpoint,
            data,
            '--out',
            tmp_path / 'out',
            *args,
        ),
    )
    assert not (tmp_path / 'out').exists()


def test_nothing_is_overwritten(checkpoint, data, capsys):
    before = (data / '0.mp4').read_bytes()
    error = error_of(
        capsys,
        run('predict', CONFIG, checkpoint, data / '0.mp4', '--out', data),
    )
    assert 'would overwrite the input' in error
    assert (data / '0.mp4').read_bytes() == before


def test_weights_for_clips_in_a_model_for_images(checkpoint, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(moving_square(0, 1)[0]).save(tmp_path / 'a.png')
    path = tmp_path / 'shapes.pth'
    content = read_checkpoint(checkpoint)
    classes = ('circle', 'triangle', 'star')  # those of the detector
    content['meta']['dataset_meta'] = dict(classes=classes)
    torch.save(content, path)
    error = error_of(
        capsys,
        run(
            'predict',
            DETECTOR,
            path,
            tmp_path / 'a.png',
            '--out',
            tmp_path / 'out',
        ),
    )
    assert 'looks like a Video Swin' in error
    assert 'the model is a Swin of' in error


def test_features(checkpoint, data, tmp_path, capsys):
    args = (
        'extract_features',
        CONFIG,
        checkpoint,
        data,
        '--out',
        tmp_path,
        '--stages',
        0,
        3,
        '--short-side',
        32,
    )
    assert run(*args) == 0
    assert '4 files written, 0 kept' in capsys.readouterr().out
    path = tmp_path / '0.mp4.npz'
    with np.load(path) as result:
        assert result['stage0'].shape == (5, 8, 8, 11)
        assert result['stage3'].shape == (5, 64, 1, 2)
        assert result['frames'].tolist() == [1, 5, 9, 13, 17]
        np.testing.assert_allclose(result['times'], result['frames'] / 25)
        assert json.loads(str(result['settings']))['clip_len'] == 4
    assert not [p for p in tmp_path.iterdir() if p.suffix != '.npz']

    # A run that was stopped goes on; other settings are not mixed in.
    written = path.stat().st_mtime_ns
    (tmp_path / '1.mp4.npz').unlink()
    assert run(*args) == 0
    assert '1 files written, 3 kept' in capsys.readouterr().out
    assert path.stat().st_mtime_ns == written
    error = error_of(capsys, run(*args, '--pool'))
    assert (
        "other settings (in the file, now): {'pool': (False, True)}" in error
    )
    assert run(*args, '--pool', '--force') == 0
    with np.load(path) as result:
        assert result['stage3'].shape == (5, 64)


def test_features_of_bad_files(checkpoint, data, tmp_path, capsys):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    error = error_of(
        capsys,
        run(
            'extract_features',
            CONFIG,
            checkpoint,
            tmp_path / 'bad.mp4',
            data / '0.mp4',
            '--out',
            tmp_path / 'out',
            '--short-side',
            32,
        ),
    )
    assert '1 of 2 videos could not be read' in error
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['0.mp4.npz']
    (tmp_path / 'out' / '0.mp4.npz').write_bytes(b'')
    error = error_of(
        capsys,
        run(
            'extract_features',
            CONFIG,
            checkpoint,
            data / '0.mp4',
            '--out',
            tmp_path / 'out',
        ),
    )
    assert 'was not written by this command' in error


@pytest.mark.parametrize(
    'config, args, message',
    [
        (CONFIG, ['--stages', 4], 'must be chosen from 0 to 3, got [4]'),
        (CONFIG, ['--clip-len', 0], '--clip-len must be 1 or more, got 0'),
        (CONFIG, ['--short-side', -1], '--short-side must be 0 or more'),
        (DETECTOR, [], 'expected a config for recognizers of videos'),
    ],
)
def test_bad_command_lines_of_features(
    checkpoint, data, tmp_path, capsys, config, args, message
):
    out = tmp_path / 'out'
    assert message in error_of(
        capsys,
        run('extract_features', config, checkpoint, data, '--out', out, *args),
    )
    assert not out.exists()


def test_features_from_weights_for_images(data, tmp_path, capsys):
    """An official file of ImageNet is inflated."""
    from swin_dense.backbones import SwinTransformer

    image = SwinTransformer(
        embed_dims=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
        window_size=4,
        out_indices=(3,),
    )
    image.init_weights()
    state = {
        name.replace('norm3', 'norm') if name[:5] == 'norm3' else name: value
        for name, value in image.state_dict().items()
    }
    path = tmp_path / 'image.pth'
    torch.save(dict(model=state), path)
    assert (
        run(
            'extract_features',
            CONFIG,
            path,
            data / '0.mp4',
            '--out',
            tmp_path / 'out',
            '--short-side',
            32,
        )
        == 0
    )
    with np.load(tmp_path / 'out' / '0.mp4.npz') as result:
        assert np.isfinite(result['stage3']).all()


def test_confusions(checkpoint, data, tmp_path):
    options = ('--out', tmp_path, '--cfg-options', f'data_root={data}')
    assert run('analyze', CONFIG, checkpoint, *options) == 0
    content = json.loads((tmp_path / 'errors.json').read_text())
    counts = np.array(content['confusion'])
    assert counts.sum(1).tolist() == [2, 2]
    right = content['classes']['right']
    assert right == dict(videos=2, top1=counts[0, 0] / 2)
    assert (tmp_path / 'confusion.png').is_file()
