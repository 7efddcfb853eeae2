"""Windows of videos are classified as a test classifies clips."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from helpers.moving_squares import CLASSES, moving_square
from swin_dense.backbones import SwinTransformer
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.data.decoders.base import VideoError
from swin_dense.engine.launch import load_config

pytest.importorskip('mmaction', reason='the models are of mmaction2')

from swin_dense.video import write_predictions  # noqa: E402
from swin_dense.video.predictor import VideoPredictor  # noqa: E402

CONFIG = str(Path(__file__).parents[1] / 'helpers' / 'tiny_video_swin.py')


def test_windows_and_times(predictor, video):
    prediction = predictor.predict(video())
    assert (prediction.num_frames, prediction.fps) == (20, 10)
    assert [(w.first, w.last) for w in prediction.windows] == [
        (0, 7),
        (8, 15),
        (12, 19),
    ]
    assert [w.start for w in prediction.windows] == pytest.approx(
        [0, 0.8, 1.2]
    )
    assert [w.end for w in prediction.windows] == pytest.approx(
        [0.8, 1.6, 2.0]
    )
    for window in prediction.windows:
        assert window.values.shape == (2,)
        assert window.values.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        prediction.values, np.mean([w.values for w in prediction.windows], 0)
    )
    assert not predictor.model.training


def test_scores_are_those_of_the_test(predictor, checkpoint, video):
    """A clip as long as a window has the scores of the test."""
    from mmengine.dataset import Compose, pseudo_collate

    path = video(8)
    config = load_config(CONFIG)
    pipeline = config.test_dataloader.dataset.pipeline
    pipeline[1].num_clips = 1
    data = Compose(pipeline)(
        dict(filename=str(path), label=0, start_index=0, modality='RGB')
    )
    assert data['inputs'].shape == (3, 3, 4, 32, 32)
    with torch.no_grad():
        (sample,) = predictor.model.test_step(pseudo_collate([data]))
    (window,) = predictor.predict(path).windows
    np.testing.assert_allclose(window.values, sample.pred_score, atol=1e-6)


def test_as_plain_types_and_as_a_table(predictor, video):
    path = video()
    prediction = predictor.predict(path)
    entry = prediction.to_dict(2)
    assert entry['file_name'] == str(path)
    assert (entry['frames'], entry['seconds']) == (20, 2.0)
    assert len(entry['windows']) == 3 and len(entry['top']) == 2
    assert entry['windows'][1]['start'] == 0.8
    first, second = entry['windows'][0]['top']
    assert first['score'] >= second['score']
    assert {first['name'], second['name']} == {*CLASSES}
    assert CLASSES[first['label']] == first['name']
    lines = write_predictions.time_table(prediction, 1).splitlines()
    assert lines[0] == f'{path}: 20 frames'
    assert lines[2].split()[:2] == ['0.80-1.60', 's']
    assert lines[-1].split()[0] == 'all' and len(lines) == 5


def test_options(checkpoint, video):
    path = video(24, 20.0)
    predictor = VideoPredictor(CONFIG, checkpoint, stride=0.1)
    assert [w.first for w in predictor.predict(path).windows] == [
        *range(0, 16, 2),
        16,
    ]
    # At half the video's rate every second frame is sampled.
    predictor = VideoPredictor(CONFIG, checkpoint, fps=10)
    assert [(w.first, w.last) for w in predictor.predict(path).windows] == [
        (0, 15),
        (8, 23),
    ]


def test_frames_spread_over_a_video(checkpoint, video):
    config = load_config(CONFIG)
    config.test_dataloader.dataset.pipeline[1] = dict(
        type='UniformSample', clip_len=4, test_mode=True
    )
    (window,) = VideoPredictor(config, checkpoint).predict(video()).windows
    assert (window.first, window.last) == (0, 19)
    windows = (
        VideoPredictor(config, checkpoint, window=1.0).predict(video()).windows
    )
    assert [(w.first, w.last) for w in windows] == [(0, 9), (10, 19)]
    with pytest.raises(ValueError, match='window is for models that sample'):
        VideoPredictor(CONFIG, checkpoint, window=1.0)


def test_short_videos_start_again(predictor, video, logged):
    (window,) = predictor.predict(video(3)).windows
    assert (window.first, window.last) == (0, 2)
    assert window.end == pytest.approx(0.3)
    assert '3.mp4 has 3 frames' in logged.text
    assert 'it is repeated from its start' in logged.text


def test_folders_of_frames(predictor, tmp_path):
    from PIL import Image

    for index, frame in enumerate(moving_square(0, 9)):
        Image.fromarray(frame).save(tmp_path / f'{index}.png')
    prediction = predictor.predict(tmp_path)
    assert [(w.first, w.last) for w in prediction.windows] == [(0, 7), (1, 8)]
    assert prediction.fps is None and prediction.windows[0].start is None
    assert '0-7' in write_predictions.time_table(prediction, 1)


def test_files_that_are_no_videos(predictor, tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_text('no video')
    with pytest.raises(VideoError, match='a.mp4'):
        predictor.predict(path)
    with pytest.raises(VideoError, match='does not exist'):
        predictor.predict(tmp_path / 'b.mp4')


@pytest.mark.parametrize('argument', ['stride', 'window', 'fps'])
def test_bad_options(checkpoint, argument):
    with pytest.raises(ValueError, match=f'{argument} must be above 0'):
        VideoPredictor(CONFIG, checkpoint, **{argument: 0})


def test_classes(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match='another order'):
        VideoPredictor(
            CONFIG,
            checkpoint,
            cfg_options={
                'test_dataloader.dataset.metainfo.classes': ['left', 'right']
            },
        )
    with pytest.raises(ValueError, match='num_classes=3'):
        VideoPredictor(
            CONFIG, checkpoint, cfg_options={'model.cls_head.num_classes': 3}
        )
    # A checkpoint without class names and a config with num_classes.
    content = read_checkpoint(checkpoint)
    nameless = str(tmp_path / 'nameless.pth')
    torch.save(dict(state_dict=content['state_dict']), nameless)
    config = load_config(CONFIG)
    del config.test_dataloader.dataset.metainfo
    config.test_dataloader.dataset.num_classes = 2
    assert VideoPredictor(config, nameless).classes == ['0', '1']
    config.test_dataloader.dataset.num_classes = None
    with pytest.raises(ValueError, match='names the classes'):
        VideoPredictor(config, nameless)


def test_networks_for_images_are_refused(tmp_path):
    image = SwinTransformer(
        embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)
    )
    path = str(tmp_path / 'image.pth')
    torch.save(
        dict(
            state_dict={
                f'backbone.{name}': value
                for name, value in image.state_dict().items()
            }
        ),
        path,
    )
    with pytest.raises(
        CheckpointError,
        match='looks like a Swin of .*, the model is a Video Swin of ',
    ):
        VideoPredictor(CONFIG, path)


def test_pipelines_that_cannot_be_used(checkpoint):
    config = load_config(CONFIG)
    pipeline = config.test_dataloader.dataset.pipeline
    config.test_dataloader.dataset.pipeline = pipeline[:2] + pipeline[3:]
    with pytest.raises(ValueError, match='has no swin_dense.VideoDecode'):
        VideoPredictor(config, checkpoint)
    assert isinstance(config, Config)


def test_clips_of_another_length(predictor):
    with pytest.raises(ValueError, match='sees 4 frames, got 3'):
        predictor.classify(list(moving_square(0, 3)))
