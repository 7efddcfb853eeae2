"""Decode frames with PyAV."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from swin_dense.data.decoders.base import Decoder, VideoError

# Seeking forward costs about as much as decoding this many frames.
SEEK_BEYOND = 16


class PyAVDecoder(Decoder):
    """Decodes with PyAV, which finds frames by their time stamps.

    Decoding starts at the last key frame before the requested frame. If time
    stamps are missing or not unique, the file is decoded from the start and
    its frames are counted.
    """

    name = 'pyav'

    @staticmethod
    def is_available() -> bool:
        """Return True if PyAV 15 or later is installed."""
        try:
            from av import VideoFrame
        except ImportError:
            return False
        return hasattr(VideoFrame, 'rotation')

    def _open(self) -> int:
        import av
        from av.video.reformatter import VideoReformatter

        # From PyAV 19 on, `frame.to_ndarray(format=...)` uses threads of the
        # process. A process forked later lacks them and would wait for ever;
        # a reformatter that it creates itself works.
        self._reformatter = VideoReformatter()
        self._failure = av.FFmpegError
        self._damage = av.InvalidDataError
        self._decoded: Iterator | None = None  # iterator that goes on there
        self._position = -1  # index of the last frame that it gave
        self._container: Any = None
        self._start()
        self._check_size(
            self._stream.codec_context.width, self._stream.codec_context.height
        )
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.header_frame_count = self._stream.frames or None
        return self._list_packets()

    def _start(self) -> None:
        """Open the file, or open it again: not all formats can rewind."""
        import av

        if self._container is not None:
            self._container.close()
        try:
            # FFmpeg would take a relative name with a colon for a protocol.
            self._container = av.open(os.path.abspath(self.path))
        except (av.FFmpegError, OSError, UnicodeError) as error:
            raise self._fails(error) from None
        streams = self._container.streams.video
        if not streams:
            raise VideoError(f'{self.path} has no video stream')
        self._stream: Any = streams[0]
        if self._stream.codec_context is None:
            raise VideoError(
                f'{self.path} has a codec that PyAV does not know'
            )
        self._stream.codec_context.thread_count = self.num_threads

    def _list_packets(self) -> int:
        """List time stamps and key frames; return the number of frames."""
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
        self._stamps: list[int] | None = sorted(stamps)
        # (index, time to seek to) of each key frame. The decoding time, where
        # it is earlier, makes sure that the seek does not pass the frame.
        self._keys = sorted(
            (
                bisect_left(self._stamps, pts),
                pts if dts is None else min(pts, dts),
            )
            for pts, dts in keys
        )
        return len(stamps)

    def _count(self) -> int:
        """Decode all frames and return their number."""
        self._stamps = None
        count = 0
        try:
            for _ in self._from(None):
                count += 1
        except self._failure as error:
            if not count:
                raise self._fails(error) from None
        return count

    def _from(self, seek_to: int | None) -> Iterator:
        """Decode from a time in the stream's units, or from the start.

        Packets that cannot be decoded are skipped.
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

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        due, done = {*wanted}, set()
        try:
            if self._stamps is not None:
                for index in wanted:
                    frame = self._at(index, self._stamps)
                    if frame is None:
                        break
                    done.add(index)
                    yield index, self._upright(frame)
                else:
                    return
                # This file has more packets than frames: count the frames.
                listed, self.num_frames = self.num_frames, self._count()
                if wanted[-1] >= self.num_frames:
                    raise VideoError(
                        f'{self.path}: only {self.num_frames} of {listed} '
                        'frames can be decoded'
                    )
            for index, frame in enumerate(self._from(None)):
                if index in due:
                    done.add(index)
                    yield index, self._upright(frame)
                if index >= wanted[-1]:
                    break
        except self._failure as error:
            raise self._fails(error) from None
        finally:
            if self._stamps is None:
                self._decoded = None
        if len(done) < len(due):
            raise VideoError(
                f'{self.path}: only {len(done)} of the {len(wanted)} frames '
                f'{wanted[0]} to {wanted[-1]} can be decoded'
            )

    def _at(self, index: int, stamps: list[int]) -> Any:
        """Decode a frame by its time stamp; None if decoding skips it."""
        number = bisect_right(self._keys, (index, float('inf'))) - 1
        key, seek_to = self._keys[number] if number >= 0 else (0, None)
        if (
            self._decoded is None
            or index <= self._position
            or key > self._position + SEEK_BEYOND
        ):
            self._decoded = self._from(seek_to)
        for frame in self._decoded:
            if frame.pts is None or frame.pts > stamps[index]:
                break
            if frame.pts == stamps[index]:
                self._position = index
                return frame
        self._decoded = None
        return None

    def _upright(self, frame: Any) -> np.ndarray:
        """Convert a frame to RGB, turned by the rotation in the file."""
        self._check_size(frame.width, frame.height)
        pixels = self._reformatter.reformat(frame, format='rgb24').to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns))

    def times(self) -> np.ndarray | None:
        """Return the time of each frame in seconds from the first `(n,)`."""
        if self._stamps is None:
            return super().times()
        stamps = np.array(self._stamps)
        return (stamps - stamps[0]) * float(self._stream.time_base)

    def close(self) -> None:
        """Close the file."""
        self._decoded = None
        if self._container is not None:
            self._container.close()
