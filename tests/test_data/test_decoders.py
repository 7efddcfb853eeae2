"""All decoders return the requested frames, and the same pixels."""

import multiprocessing

import cv2
import numpy as np
import pytest

from helpers.numbered_clips import number_of, numbered_frame, write_clip
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.decoders.folder import FrameFolder
from swin_dense.data.decoders.opencv import OpenCVDecoder
from swin_dense.data.decoders.pyav import PyAVDecoder
from swin_dense.data.video_reader import Video, check_decoders

av = pytest.importorskip('av', reason='clips are written by PyAV')

AVAILABLE = check_decoders()
# Mean difference of a frame, of 255, by rounding in two colour converters.
SAME = 1.0


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """Write a clip of 60 frames with a key frame in the middle."""
    return write_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4', 60)


def numbers(video, indices):
    return [number_of(frame) for frame in video.frames(indices)]


@pytest.mark.parametrize('name', AVAILABLE)
def test_frames_come_in_the_requested_order(clip, name):
    for indices in ([59, 0, 31], [40, 41, 39, 40], range(60), [7], []):
        with Video(clip, [name]) as video:
            assert video.num_frames == len(video) == 60 and video.fps == 25
            assert numbers(video, indices) == list(indices)
            # Again, from the frame where decoding stopped.
            assert numbers(video, [3, 58, 2]) == [3, 58, 2]


@pytest.mark.parametrize('name', AVAILABLE)
@pytest.mark.parametrize(
    'file, codec',
    [
        ('a.avi', 'mpeg4'),
        ('a.mkv', 'libx264'),
        ('a.mpg', 'mpeg2video'),
        ('a.ts', 'libx264'),
        ('a.webm', 'libvpx'),
    ],
)
def test_other_containers(tmp_path, name, file, codec):
    if name == 'decord' and file in ('a.mpg', 'a.ts'):
        pytest.skip('decord does not count frames of MPEG streams')
    path = write_clip(tmp_path / file, 30, codec)
    with Video(path, [name]) as video:
        assert video.num_frames == 30
        assert numbers(video, [29, 14, 0]) == [29, 14, 0]


def test_frames_without_time_stamps_are_counted(tmp_path):
    path = write_clip(tmp_path / 'raw.h264', 30)
    with Video(path, ['pyav']) as video:
        assert video.num_frames == 30
        assert numbers(video, [17, 29, 0]) == [17, 29, 0]


def test_packets_without_a_frame_are_not_counted(clip, monkeypatch):
    original = PyAVDecoder._list_packets

    def listed(self):
        count = original(self)
        self._stamps.insert(5, self._stamps[4] + 1)
        return count + 1

    monkeypatch.setattr(PyAVDecoder, '_list_packets', listed)
    with Video(clip, ['pyav']) as video:
        assert video.num_frames == 61
        assert numbers(video, [4, 5, 40]) == [4, 5, 40]
        assert video.num_frames == 60
        with pytest.raises(VideoError, match='frames 0 to 59'):
            video.frames([60])
    with (
        Video(clip, ['pyav']) as video,
        pytest.raises(VideoError, match='only 60 of 61 frames can be decoded'),
    ):
        video.frames([5, 60])


def test_a_far_frame_is_reached_by_seeking(tmp_path, monkeypatch):
    path = write_clip(tmp_path / 'long.mp4', 60, g='6')
    decoded = []
    original = PyAVDecoder._from

    def counting(self, seek_to):
        for frame in original(self, seek_to):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(PyAVDecoder, '_from', counting)
    with Video(path, ['pyav']) as video:
        assert numbers(video, [2, 50]) == [2, 50]
    assert len(decoded) < 15


def test_times_follow_the_file(tmp_path):
    stamps = [100 * i + 60 * (i > 4) for i in range(10)]
    path = write_clip(tmp_path / 'vfr.mkv', 10, stamps=stamps)
    with Video(path) as video:
        np.testing.assert_allclose(
            video.times(), np.array(stamps) / 2500, atol=1e-3
        )
    with Video(write_clip(tmp_path / 'cfr.mp4', 4), ['opencv']) as video:
        np.testing.assert_allclose(video.times(), [0, 0.04, 0.08, 0.12])


@pytest.mark.parametrize('degrees', [90, -90, 180])
def test_clips_are_turned_upright(tmp_path, degrees):
    if not hasattr(av.VideoStream, 'set_display_rotation'):
        pytest.skip('this PyAV cannot write clips that are to be turned')
    frame = np.zeros((32, 48, 3), np.uint8)
    frame[:16, :24] = 255
    path = write_clip(
        tmp_path / 'turned.mp4', rotation=degrees, frames=[frame] * 3
    )
    turned = np.rot90(frame, degrees // 90)
    for name in ('pyav', 'opencv'):
        with Video(path, [name]) as video:
            shown = video.frames([1])[0]
        assert shown.shape == turned.shape
        assert np.abs(shown.astype(int) - turned).mean() < 5


def test_decoders_agree_on_real_clips(real_data):
    for path in (real_data / 'videos').glob('*.mp4'):
        decoded = {}
        for name in AVAILABLE:
            with Video(path, [name]) as video:
                count = video.num_frames
                indices = [0, count // 3, count // 2, count - 1]
                decoded[name] = (count, video.frames(indices))
        count, frames = decoded.pop('pyav')
        for other, other_frames in decoded.values():
            assert other == count
            for frame, other_frame in zip(frames, other_frames):
                assert np.abs(frame.astype(int) - other_frame).mean() < SAME


def test_repeated_frames_are_separate_arrays(clip):
    first, second = Video(clip).frames([3, 3])
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_colours_are_red_green_blue(clip):
    red, green, blue = Video(clip).frames([0])[0].mean((0, 1))
    assert red > 75 and green < 15 and blue < 15


def test_frames_beyond_the_clip(clip):
    with pytest.raises(
        VideoError, match='has the frames 0 to 59; requested are -1 to 60'
    ):
        Video(clip, ['pyav']).frames([-1, 60])


def test_a_truncated_file_cannot_be_read(clip, tmp_path):
    path = tmp_path / 'half.mp4'
    with open(clip, 'rb') as file:
        path.write_bytes(file.read()[:2000])
    with pytest.raises(VideoError) as caught:
        Video(path)
    for name in AVAILABLE:
        assert f'{name}: {path}' in str(caught.value)


def test_a_file_without_video(tmp_path):
    path = tmp_path / 'sound.wav'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000, layout='mono')
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format='s16', layout='mono'
        )
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match='sound.wav has no video stream'):
        Video(path, ['pyav'])


def test_a_change_of_size(tmp_path, monkeypatch):
    frames = {0: np.zeros((4, 4, 3)), 1: np.zeros((8, 4, 3))}
    monkeypatch.setattr(
        OpenCVDecoder, '_read', lambda self, wanted: frames.items()
    )
    video = OpenCVDecoder(write_clip(tmp_path / 'a.mp4', 2))
    with pytest.raises(
        VideoError, match=r'changes its size: frames are \[\(4, 4\), '
    ):
        video.frames([0, 1])


@pytest.fixture
def folder(tmp_path):
    """Write ten frames, numbered from 1 without leading zeros, and flow."""
    for number in range(1, 11):
        frame = cv2.cvtColor(numbered_frame(number), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(tmp_path / f'img_{number}.png'), frame)
    cv2.imwrite(str(tmp_path / 'flow_x_1.png'), frame)
    (tmp_path / 'notes.txt').write_text('no frame')
    return tmp_path


def test_frames_of_a_folder(folder):
    with Video(folder) as video:
        assert video.decoder == 'folder' and video.fps is None
        assert video.times() is None
        assert numbers(video, range(10)) == [*range(1, 11)]
        np.testing.assert_array_equal(video.frames([2])[0], numbered_frame(3))


def test_a_broken_frame_and_an_empty_folder(folder, tmp_path):
    (folder / 'img_4.png').write_bytes(b'')
    with pytest.raises(VideoError, match='img_4.png is empty'):
        Video(folder).frames([3])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(VideoError, match='empty has no frames'):
        FrameFolder(tmp_path / 'empty')


def last_number(path, results):
    with Video(path, ['pyav']) as video:
        results.put(numbers(video, [59]))


@pytest.mark.skipif(
    'fork' not in multiprocessing.get_all_start_methods(),
    reason='processes are not forked here',
)
def test_forked_processes_decode_after_their_parent_has(clip):
    """PyAV 19 converts frames in threads, which a fork does not copy."""
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    with Video(clip, ['pyav']) as video:
        assert numbers(video, [0]) == [0]
    child = context.Process(
        target=last_number, args=(clip, results), daemon=True
    )
    child.start()
    try:
        assert results.get(timeout=60) == [59]
    finally:
        child.kill()
