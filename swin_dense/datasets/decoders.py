"""Reading frames of one clip: by PyAV, decord, OpenCV, or from a folder.

Frame n of a clip is the n-th picture that is shown, counted from 0, whatever
the file says of its length. Frames are `(H, W, 3)` arrays in RGB, uint8,
turned upright where the file says how it was held (not by decord).

H and W are the height and width of a frame in pixels.
"""
import re
from bisect import bisect_left, bisect_right
from importlib.util import find_spec
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Type

import cv2
import numpy as np

__all__ = ['DECODERS', 'Decoder', 'FrameFolder', 'VideoError']

PICTURES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
# What tools that extract optical flow put beside the frames.
FLOW = 'flow_'
# To seek forward costs about as much as to decode this many frames.
SEEK_BEYOND = 16


class VideoError(ValueError):
    """A clip cannot be read; the message names the file and says why."""


class Decoder:
    """Frames of one clip.

    Attributes:
        path: The file, or the folder of frames.
        num_frames: How many there are.
        fps: Frames per second on average; None if nothing says so.
        announced: How many frames the header of the file says there are, if
            it does.

    Raises:
        VideoError: The clip cannot be opened, or has no frames.
    """
    name = ''

    def __init__(self, path: str, num_threads: int = 1) -> None:
        self.path = str(path)
        self.num_threads = num_threads
        self.fps: Optional[float] = None
        self.announced: Optional[int] = None
        self.num_frames = self._open()
        if self.num_frames < 1:
            raise VideoError(f'{self.path} has no frames')

    @staticmethod
    def is_available() -> bool:
        """Whether the library is installed."""
        return True

    def frames(self, indices: Sequence[int]) -> List[np.ndarray]:
        """Frames in the order asked for, each an array of its own.

        Raises:
            VideoError: A frame is not there or cannot be decoded, or the
                frames differ in size.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise VideoError(
                f'{self.path} has the frames 0 to {self.num_frames - 1}; '
                f'asked for are {wanted[0]} to {wanted[-1]}')
        found = dict(self._read(wanted)) if wanted else {}
        sizes = {frame.shape for frame in found.values()}
        if len(sizes) > 1:
            raise VideoError(f'{self.path} changes its size: frames are '
                             f'{sorted(size[:2] for size in sizes)} (height, '
                             'width)')
        frames, given = [], set()
        for index in map(int, indices):
            # Transforms that flip in place would flip a shared one twice.
            again = index in given
            frames.append(found[index].copy() if again else found[index])
            given.add(index)
        return frames

    def times(self) -> Optional[np.ndarray]:
        """When each frame is shown, in seconds from the first `(n,)`.

        None if nothing says so.
        """
        return self.fps and np.arange(self.num_frames) / self.fps

    def close(self) -> None:
        """Close the file."""

    def _open(self) -> int:
        """Open the clip; the number of frames."""
        raise NotImplementedError

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        """Index and frame for each of the indices, which ascend."""
        raise NotImplementedError

    def _fails(self, error: Exception) -> VideoError:
        """What to raise when the library reports an error."""
        reason = getattr(error, 'strerror', None) or str(error) or repr(error)
        return VideoError(f'{self.path} cannot be decoded: {reason}')


class PyAVDecoder(Decoder):
    """Frames by PyAV, found through the time stamps of all packets.

    Reading starts at the last key frame before a wanted one. A file whose
    stamps do not tell its frames apart is decoded from the start and counted.
    """
    name = 'pyav'

    @staticmethod
    def is_available() -> bool:
        """Whether PyAV is installed."""
        return find_spec('av') is not None

    def _open(self) -> int:
        import av
        self._failure = av.FFmpegError
        self._damage = av.InvalidDataError
        self._decoded: Optional[Iterator] = None  # where reading has come to
        self._position = -1  # the frame there
        self._container = None
        self._start()
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.announced = self._stream.frames or None
        return self._list_packets()

    def _start(self) -> None:
        """Open the file, anew if it is open: not all kinds can rewind."""
        import av
        self.close()
        try:
            self._container = av.open(self.path)
        except (av.FFmpegError, OSError, UnicodeError) as error:
            raise self._fails(error) from None
        streams = self._container.streams.video
        if not streams:
            raise VideoError(f'{self.path} holds no video')
        self._stream = streams[0]
        self._stream.codec_context.thread_count = self.num_threads

    def _list_packets(self) -> int:
        """Note when each frame is shown, and where decoding can start."""
        stamps, keys = [], []
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
                    if packet.is_keyframe:
                        keys.append((packet.pts, packet.dts))
        except self._failure as error:
            if not stamps:
                raise self._fails(error) from None
        if None in stamps or len({*stamps}) < len(stamps):
            return self._count()
        self._stamps: Optional[List[int]] = sorted(stamps)
        # The frames where decoding can start. To seek by the time of decoding
        # never leads behind them.
        self._keys = sorted((bisect_left(self._stamps, pts),
                             pts if dts is None else min(pts, dts))
                            for pts, dts in keys)
        return len(stamps)

    def _count(self) -> int:
        """Decode everything; the number of frames."""
        self._stamps = None
        count = 0
        try:
            for _ in self._from(None):
                count += 1
        except self._failure as error:
            if not count:
                raise self._fails(error) from None
        return count

    def _from(self, seek_to: Optional[int]) -> Iterator:
        """Decode from a time, in units of the stream, or from the start.

        Packets that cannot be decoded give no frame.
        """
        if seek_to is None:
            self._start()
        else:
            self._container.seek(seek_to, stream=self._stream)
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except self._damage:
                continue

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        due, found = {*wanted}, set()
        try:
            if self._stamps is not None:
                for index in wanted:
                    frame = self._at(index)
                    if frame is None:
                        break
                    found.add(index)
                    yield index, self._upright(frame)
                else:
                    return
                # Packets and frames are not the same here.
                listed, self.num_frames = self.num_frames, self._count()
                if wanted[-1] >= self.num_frames:
                    raise VideoError(
                        f'{self.path}: only {self.num_frames} of {listed} '
                        'frames can be decoded')
            for index, frame in enumerate(self._from(None)):
                if index in due:
                    found.add(index)
                    yield index, self._upright(frame)
                if index >= wanted[-1]:
                    break
        except self._failure as error:
            raise self._fails(error) from None
        finally:
            if self._stamps is None:
                self._decoded = None
        if len(found) < len(due):
            raise VideoError(
                f'{self.path}: only {len(found)} of the {len(wanted)} frames '
                f'{wanted[0]} to {wanted[-1]} can be decoded')

    def _at(self, index: int):
        """A frame; None if decoding does not give it."""
        number = bisect_right(self._keys, (index, float('inf'))) - 1
        key, seek_to = self._keys[number] if number >= 0 else (0, None)
        if (self._decoded is None or index <= self._position
                or key > self._position + SEEK_BEYOND):
            self._decoded = self._from(seek_to)
        for frame in self._decoded:
            if frame.pts is None or frame.pts > self._stamps[index]:
                break
            if frame.pts == self._stamps[index]:
                self._position = index
                return frame
        self._decoded = None
        return None

    def _upright(self, frame) -> np.ndarray:
        pixels = frame.to_ndarray(format='rgb24')
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns))

    def times(self) -> Optional[np.ndarray]:
        """When each frame is shown, in seconds from the first `(n,)`."""
        if self._stamps is None:
            return super().times()
        stamps = np.array(self._stamps)
        return (stamps - stamps[0]) * float(self._stream.time_base)

    def close(self) -> None:
        """Close the file."""
        self._decoded = None
        if self._container is not None:
            self._container.close()


class DecordDecoder(Decoder):
    """Frames by decord, as it counts them.

    That is exact in MP4, MKV and WebM files. In MPEG streams it takes other
    frames than those asked for, so it comes last.
    """
    name = 'decord'

    @staticmethod
    def is_available() -> bool:
        """Whether decord is installed and loads."""
        try:
            from decord import VideoReader  # noqa: F401
        except (ImportError, OSError, RuntimeError):
            return False
        return True

    def _open(self) -> int:
        import decord
        self._failure = (decord.DECORDError, RuntimeError, IndexError)
        try:
            self._reader = decord.VideoReader(
                self.path, num_threads=self.num_threads)
        except self._failure as error:
            raise self._fails(error) from None
        self.fps = float(self._reader.get_avg_fps()) or None
        return len(self._reader)

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        try:
            frames = self._reader.get_batch(list(wanted)).asnumpy()
        except self._failure as error:
            raise self._fails(error) from None
        yield from zip(wanted, frames)

    def close(self) -> None:
        """Close the file."""
        self._reader = None


class OpenCVDecoder(Decoder):
    """Frames by OpenCV, whose seeking is not exact: from the start, counted.
    """
    name = 'opencv'

    def _capture(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.path)
        if not capture.isOpened():
            raise VideoError(f'{self.path} cannot be opened by OpenCV')
        return capture

    def _open(self) -> int:
        capture = self._capture()
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        count = 0
        while capture.grab():
            count += 1
        capture.release()
        return count

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        capture = self._capture()
        index = -1
        for target in wanted:
            while index < target and capture.grab():
                index += 1
            done, pixels = capture.retrieve()
            if index < target or not done:
                raise VideoError(
                    f'{self.path}: frame {target} cannot be decoded')
            yield target, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        capture.release()


class FrameFolder(Decoder):
    """Frames that are image files of one folder, in the order of their names.

    Numbers in names count as numbers, so that 10 follows 9; images of optical
    flow (`flow_*`) are left out.
    """
    name = 'folder'

    def _open(self) -> int:
        names = [
            path.name for path in Path(self.path).iterdir() if
            path.suffix.lower() in PICTURES and not path.name.startswith(FLOW)
        ]
        self._names = sorted(
            names,
            key=lambda name: [(len(part.lstrip('0')), part.lstrip('0'))
                              if part.isdigit() else (0, part)
                              for part in re.split(r'(\d+)', name)])
        return len(names)

    def _read(self, wanted: Sequence[int]) -> Iterator[Tuple[int, np.ndarray]]:
        for index in wanted:
            path = Path(self.path, self._names[index])
            pixels = cv2.imread(str(path))
            if pixels is None:
                raise VideoError(f'{path} cannot be decoded')
            yield index, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


DECODERS: Dict[str, Type[Decoder]] = {
    decoder.name: decoder
    for decoder in (PyAVDecoder, OpenCVDecoder, DecordDecoder)
}
"""By name, the best first."""
