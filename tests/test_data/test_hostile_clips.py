"""Clips with unusual formats, names and contents are read or refused."""

import os
from pathlib import Path

import pytest

from helpers.hostile_paths import write_hostile_paths
from helpers.numbered_clips import write_clip
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_reader import Video

pytest.importorskip('av', reason='clips are written by PyAV')


def test_paths_to_no_regular_file_are_refused(tmp_path):
    for path, reason in write_hostile_paths(tmp_path, '.mp4').items():
        with pytest.raises(VideoError) as caught:
            Video(path)
        if path.stem == 'folder':  # no frames
            assert str(caught.value).endswith('has no frames')
        else:
            assert str(caught.value) == f'{path} {reason}'


@pytest.mark.parametrize(
    'content',
    [
        'ffconcat version 1.0\nfile other.mp4\n',
        '#EXTM3U\n#EXTINF:5,\nother.mp4\n#EXT-X-ENDLIST\n',
        '<?xml version="1.0"?><MPD></MPD>',
        'v=0\no=- 0 0 IN IP4 127.0.0.1\n',
    ],
)
def test_playlists_are_not_followed(tmp_path, content):
    """FFmpeg would open the files and hosts in a playlist."""
    write_clip(tmp_path / 'other.mp4', 3)
    path = tmp_path / 'list.mp4'
    path.write_text(content)
    with pytest.raises(VideoError, match='is a list of other files'):
        Video(path)


@pytest.mark.parametrize('name', ['pyav', 'opencv'])
def test_names_that_are_not_utf8(tmp_path, name):
    path = tmp_path / os.fsdecode(b'\xff.mp4')
    os.rename(write_clip(tmp_path / 'x.mp4', 3), path)
    if name == 'pyav':
        with Video(path, [name]) as video:
            assert len(video.frames([0, 2])) == 2
    else:
        with pytest.raises(VideoError, match='a name that is not UTF-8'):
            Video(path, [name])


@pytest.mark.parametrize('name', ['pyav', 'opencv'])
def test_frames_of_too_many_pixels(tmp_path, monkeypatch, name):
    path = write_clip(tmp_path / 'x.mp4', 8)  # 48 x 128
    monkeypatch.setenv('SWIN_DENSE_MAX_PIXELS', '6000')
    with pytest.raises(VideoError, match='a frame has .* = 6,144 pixels'):
        Video(path, [name])
    monkeypatch.setenv('SWIN_DENSE_MAX_PIXELS', '6144')
    with Video(path, [name]) as video:
        assert len(video.frames(range(6))) == 6
        with pytest.raises(VideoError, match='more than the 36,864 pixels'):
            video.frames(range(7))


def test_an_unknown_codec(tmp_path):
    path = Path(write_clip(tmp_path / 'x.mp4', 3))
    path.write_bytes(path.read_bytes().replace(b'avc1', b'zzzz'))
    with pytest.raises(
        VideoError, match='has a codec that PyAV does not know'
    ):
        Video(path)
