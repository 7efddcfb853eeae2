"""Videos are predicted frame by frame, whatever their end."""

import json
from argparse import Namespace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from helpers.numbered_clips import number_of, write_clip
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_reader import Video
from swin_dense.engine import predict_videos
from swin_dense.engine.predict_images import predict_images
from swin_dense.engine.predict_videos import (
    camera_number,
    find_sources,
    predict_video,
    video_name,
    video_output,
)

pytest.importorskip('av', reason='writes videos')


class Predictor:
    """Return each frame; refuse a frame by its number."""

    def __init__(self, refused=None):
        self.batches, self.refused = [], refused

    def predict_batch(self, images):
        self.batches.append(len(images))
        numbers = [number_of(image[..., ::-1]) for image in images]
        if self.refused in numbers:
            raise ValueError('too dark')
        return [
            SimpleNamespace(image=image, number=number)
            for image, number in zip(images, numbers)
        ]


class Writer:
    """Draw a frame as it is."""

    paths = ()

    def draw_frame(self, result):
        return result.image

    def frame_entry(self, result):
        return {'number': result.number}


def lines_of(path):
    text = path.with_suffix('.jsonl').read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize('batch_size, batches', [(1, [1] * 7), (3, [3, 3, 1])])
def test_each_frame_is_drawn_and_has_a_line(tmp_path, batch_size, batches):
    source = write_clip(tmp_path / 'clip.mp4', 7, rate=10)
    out, predictor = tmp_path / 'out' / 'clip.mp4', Predictor()
    assert predict_video(predictor, Writer(), source, out, batch_size) == (
        7,
        None,
    )
    assert predictor.batches == batches
    lines = lines_of(out)
    assert [line['number'] for line in lines] == [*range(7)]
    assert [line['frame'] for line in lines] == [*range(7)]
    assert lines[3]['seconds'] == pytest.approx(0.3)
    with Video(str(out)) as video:
        assert video.fps == 10
        frames = video.frames(range(7))
    assert [number_of(frame) for frame in frames] == [*range(7)]


def test_the_first_frames_alone(tmp_path):
    source = write_clip(tmp_path / 'clip.mp4', 7)
    out, predictor = tmp_path / 'out.mp4', Predictor()
    assert predict_video(predictor, Writer(), source, out, 3, 4)[0] == 4
    assert predictor.batches == [3, 1] and len(lines_of(out)) == 4


def test_a_video_that_breaks_off_is_named_and_kept(tmp_path, monkeypatch):
    source = write_clip(tmp_path / 'clip.mp4', 7)
    frames = Video.frames

    def broken(self, indices):
        if 5 in indices:
            raise VideoError('no data')
        return frames(self, indices)

    monkeypatch.setattr(Video, 'frames', broken)
    out = tmp_path / 'out.mp4'
    count, problem = predict_video(Predictor(), Writer(), source, out, 4)
    assert count == 5 and len(lines_of(out)) == 5
    assert 'frame 5 of 7 cannot be read: no data' in problem
    assert 'clip.mp4' in problem and 'the 5 frames before it are in' in problem
    monkeypatch.undo()
    with Video(str(out)) as video:
        assert video.num_frames == 5


def test_a_frame_that_cannot_be_predicted(tmp_path):
    source = write_clip(tmp_path / 'clip.mp4', 7)
    out = tmp_path / 'out.mp4'
    count, problem = predict_video(Predictor(2), Writer(), source, out)
    assert count == 2
    assert 'frame 2 cannot be predicted: too dark; the 2 frames' in problem
    with pytest.raises(VideoError, match='frame 0 cannot be predicted'):
        predict_video(Predictor(0), Writer(), source, tmp_path / 'no.mp4')
    assert not (tmp_path / 'no.mp4').exists()


def test_ctrl_c_keeps_what_was_predicted(tmp_path, monkeypatch):
    source = write_clip(tmp_path / 'clip.mp4', 7)
    frames = Video.frames

    def interrupted(self, indices):
        if 4 in indices:
            raise KeyboardInterrupt
        return frames(self, indices)

    monkeypatch.setattr(Video, 'frames', interrupted)
    out = tmp_path / 'out.mp4'
    with pytest.raises(KeyboardInterrupt):
        predict_video(Predictor(), Writer(), source, out)
    monkeypatch.undo()
    with Video(str(out)) as video:
        assert video.num_frames == 4


def test_a_camera_ends_with_its_frames_or_ctrl_c(tmp_path, monkeypatch):
    class Camera:
        """Give three frames, then Ctrl-C."""

        def __init__(self, number):
            assert number == 1
            self.count = 0

        def isOpened(self):  # noqa: N802
            return True

        def get(self, key):
            return 0.0

        def read(self):
            self.count += 1
            if self.count > 3:
                raise KeyboardInterrupt
            return True, np.zeros((48, 128, 3), np.uint8)

        def release(self):
            self.count = -1

    monkeypatch.setattr(predict_videos.cv2, 'VideoCapture', Camera)
    out = tmp_path / 'camera1.mp4'
    assert predict_video(Predictor(), Writer(), 'camera:1', out) == (3, None)
    assert [line['seconds'] for line in lines_of(out)] == [None] * 3
    monkeypatch.setattr(Camera, 'isOpened', lambda self: False)
    with pytest.raises(VideoError, match='there is no camera 1'):
        predict_video(Predictor(), Writer(), '1', out)


def test_frames_are_read_one_batch_at_a_time(tmp_path, monkeypatch):
    """So that memory does not grow with the length."""
    source = write_clip(tmp_path / 'clip.mp4', 30)
    read, frames = [], Video.frames

    def counted(self, indices):
        read.extend(indices)
        return frames(self, indices)

    class Patient(Predictor):
        def predict_batch(self, images):
            assert len(read) == sum(self.batches) + len(images)
            return super().predict_batch(images)

    monkeypatch.setattr(Video, 'frames', counted)
    predict_video(Patient(), Writer(), source, tmp_path / 'out.mp4', 4)
    assert len(read) == 30


def test_sources(tmp_path, monkeypatch):
    for name in ('a.jpg', 'b.mp4', 'frames/c.png', 'clips/d.AVI'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert find_sources(['.']) == (['.'], ['b.mp4'])
    assert find_sources(['frames', 'clips']) == (['frames'], ['clips/d.AVI'])
    assert find_sources(['*', 'a.jpg']) == (['*', 'a.jpg'], ['b.mp4'])
    assert find_sources(['b.mp4', './b.mp4']) == ([], ['b.mp4'])
    both = ['http://x/y.mp4', 'camera:0', '1']
    assert find_sources(both) == ([], both)
    assert find_sources(['no.jpg']) == (['no.jpg'], [])
    with pytest.raises(FileNotFoundError, match='no.mp4 does not exist'):
        find_sources(['no.mp4'])


def test_names():
    assert camera_number('camera:12') == 12 and camera_number('3') == 3
    assert camera_number('camera') is None and camera_number('3.mp4') is None
    assert str(video_name('http://x/a%20b.mp4?c=d')) == 'a b.mp4'
    assert str(video_name('camera:0')) == 'camera0'
    assert str(video_output(video_name('x/y.avi'))) == 'x/y.avi.mp4'


def test_images_and_videos_of_a_command_line(tmp_path, capsys):
    folder = tmp_path / 'in'
    folder.mkdir()
    write_clip(folder / 'clip.mp4', 3)
    (folder / 'bad.mp4').write_bytes(b'no video')
    cv2.imwrite(str(folder / 'a.png'), np.zeros((48, 128, 3), np.uint8))
    added = []
    writer = Writer()
    writer.add = lambda index, result: added.append(result.path)
    writer.close = lambda: None
    writer.summary = lambda: 'images done'
    args = Namespace(
        inputs=[str(folder)],
        out=str(tmp_path / 'out'),
        batch_size=2,
        max_frames=None,
        skip_bad=True,
    )
    predict_images(lambda *_: (Predictor(), writer), args)
    out, error = capsys.readouterr()
    assert added == [str(folder / 'a.png')] and 'images done' in out
    assert f'3 frames: {tmp_path / "out" / "clip.mp4"}' in out
    assert 'skipped: ' in error and 'bad.mp4' in error
    args.skip_bad = False
    with pytest.raises(ValueError, match='1 of 3 images and videos could not'):
        predict_images(lambda *_: (Predictor(), writer), args)
