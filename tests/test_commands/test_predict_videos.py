"""`swin-dense predict` on videos, with a detector and a segmentor."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.command_line import CONFIG, error_of, run
from helpers.moving_squares import moving_square
from helpers.saved_models import save_model
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video

HELPERS = Path(__file__).parents[1] / 'helpers'
CLASSES = ('disc', 'square', 'triangle')


@pytest.fixture
def folder(tmp_path):
    """Write a clip and an image of 64 x 48 pixels."""
    folder = tmp_path / 'in'
    folder.mkdir()
    clip = moving_square(0, 5)
    write_video(folder / 'clip.mp4', clip, 10.0)
    cv2.imwrite(str(folder / 'photo.png'), clip[0])
    return folder


def read(path):
    with Video(str(path)) as video:
        frames = np.stack(video.frames(range(video.num_frames)))
        return frames, video.fps


def test_a_detector(folder, tmp_path, capsys):
    weights = save_model(CONFIG, tmp_path / 'weights.pth', CLASSES)
    out = tmp_path / 'out'
    args = ('predict', CONFIG, weights, folder, '--out', out)
    assert run(*args, '--batch-size', 2, '--score-thr', 0) == 0
    assert f'5 frames: {out / "clip.mp4"}' in capsys.readouterr().out
    frames, fps = read(out / 'clip.mp4')
    assert frames.shape == (5, 48, 64, 3) and fps == 10
    lines = (out / 'clip.jsonl').read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry['frame'] for entry in entries] == [*range(5)]
    instance = entries[0]['instances'][0]
    assert instance.keys() >= {'bbox', 'score', 'category_name'}
    assert not instance.keys() & {'image_id', 'file_name'}
    assert (out / 'photo.png').is_file()
    images = json.loads((out / 'images.json').read_text())['images']
    assert [Path(image['file_name']).name for image in images] == ['photo.png']
    assert run(*args, '--max-frames', 0) == 1
    assert '--max-frames must be 1 or more, got 0' in capsys.readouterr().err


def test_a_segmentor(folder, tmp_path):
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    from mmseg.datasets import ADE20KDataset

    classes = ADE20KDataset.METAINFO['classes']
    config = HELPERS / 'tiny_upernet.py'
    weights = save_model(str(config), tmp_path / 'weights.pth', classes)
    out, clip = tmp_path / 'out', folder / 'clip.mp4'
    assert (
        run(
            *('predict', config, weights, clip, '--out', out),
            *('--max-frames', 2),
        )
        == 0
    )
    frames, _ = read(out / 'clip.mp4')
    assert frames.shape == (2, 48, 64, 3)
    lines = (out / 'clip.jsonl').read_text().splitlines()
    areas = [json.loads(line)['areas'] for line in lines]
    assert len(areas) == 2
    assert sum(a['pixels'] for a in areas[1].values()) == 48 * 64


def test_recognizers_take_all_frames(tmp_path, capsys):
    config = HELPERS / 'tiny_video_swin.py'
    status = run(
        *('predict', config, __file__, 'no.mp4', '--out', tmp_path),
        *('--max-frames', 2),
    )
    assert '--max-frames is for detectors and segm' in error_of(capsys, status)
