"""A video is read by the first decoder that can."""

import pytest

from helpers.numbered_clips import number_of, write_clip
from swin_dense.data.decoders import DECODERS
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.decoders.opencv import OpenCVDecoder
from swin_dense.data.decoders.pyav import PyAVDecoder
from swin_dense.data.video_reader import Video, check_decoders


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """Write a clip of 60 frames with a key frame in the middle."""
    return write_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4', 60)


def numbers(video, indices):
    return [number_of(frame) for frame in video.frames(indices)]


def test_files_that_cannot_be_read(tmp_path):
    for name, content, reason in [
        ('empty.mp4', b'', 'is empty'),
        ('noise.mp4', b'no video at all' * 99, r'pyav: .*: Invalid data'),
    ]:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(VideoError, match=f'{name}[\\s\\S]*{reason}'):
            Video(path)
    with pytest.raises(VideoError, match='absent.mp4 does not exist'):
        Video(tmp_path / 'absent.mp4')


def test_zero_frames(tmp_path, monkeypatch):
    path = write_clip(tmp_path / 'none.mp4', 3)
    monkeypatch.setattr(PyAVDecoder, '_list_packets', lambda self: 0)
    with pytest.raises(VideoError, match='none.mp4 has no frames'):
        Video(path, ['pyav'])


def test_the_next_decoder_opens_a_clip(clip, monkeypatch):

    def fail(self):
        raise VideoError('no')

    monkeypatch.setattr(PyAVDecoder, '_open', fail)
    with Video(clip) as video:
        assert video.decoder != 'pyav'
        assert numbers(video, [30]) == [30]


def test_the_next_decoder_decodes_frames(clip, monkeypatch, logged):

    def fail(self, wanted):
        raise VideoError(f'{self.path} breaks off')

    monkeypatch.setattr(PyAVDecoder, '_read', fail)
    with Video(clip, ['pyav', 'opencv']) as video:
        assert video.decoder == 'pyav'
        assert numbers(video, [30]) == [30]
        assert video.decoder == 'opencv'
    assert 'breaks off; opencv is used instead of pyav' in logged.text
    monkeypatch.setattr(OpenCVDecoder, '_read', fail)
    with pytest.raises(
        VideoError,
        match='cannot be read\n  pyav: .* breaks off\n  opencv: .* breaks off',
    ):
        Video(clip, ['pyav', 'opencv']).frames([0])


def test_names_of_decoders(monkeypatch):
    assert check_decoders('opencv') == ['opencv']
    for wrong in (['pyav', 'ffmpeg'], []):
        with pytest.raises(ValueError, match='choose from .*pyav'):
            check_decoders(wrong)
    monkeypatch.setattr(DECODERS['pyav'], 'is_available', lambda: False)
    assert 'pyav' not in check_decoders()
    with pytest.raises(
        ImportError, match='.pyav. is not .* pip install "av>=15"'
    ):
        check_decoders(['pyav'])
