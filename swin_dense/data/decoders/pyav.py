"""Reading frames of a clip by PyAV."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from swin_dense.data.decoders.base import Decoder, VideoError

# To seek forward costs about as much as to decode this many frames.
SEEK_BEYOND = 16


class PyAVDecoder(Decoder):
    """Frames by PyAV, found through the time stamps of all packets.

    Reading starts at the last key frame before a wanted one. A file whose
    stamps do not tell its frames apart is decoded from the start and counted.
    """

    name = 'pyav'

    @staticmethod
    def is_available() -> bool:
        """Whether PyAV is installed, 15 or later."""
        try:
            from av import VideoFrame
        except ImportError:
            return False
        return hasattr(VideoFrame, 'rotation')

    def _open(self) -> int:
        import av
        from av.video.reformatter import VideoReformatter

        # From PyAV 19 on, `frame.to_ndarray(format=...)` goes through threads
        # of the process. A process that is forked later lacks them and would
        # wait for ever; what it makes itself works.
        self._reformatter = VideoReformatter()
        self._failure = av.FFmpegError
        self._damage = av.InvalidDataError
        self._decoded: Iterator | None = None  # where reading has come to
        self._position = -1  # the frame there
        self._container = None
        self._start()
        self._check_size(
            self._stream.codec_context.width, self._stream.codec_context.height
        )
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else None
        self.announced = self._stream.frames or None
        return self._list_packets()

    def _start(self) -> None:
        """Open the file, anew if it is open: not all kinds can rewind."""
        import av

        if self._container is not None:
            self._container.close()
        try:
            # In a relative name, what comes before a colon is a protocol.
            self._container = av.open(os.path.abspath(self.path))
        except (av.FFmpegError, OSError, UnicodeError) as error:
            raise self._fails(error) from None
        streams = self._container.streams.video
        if not streams:
            raise VideoError(f'{self.path} holds no video')
        self._stream = streams[0]
        if self._stream.codec_context is None:
            raise VideoError(
                f'{self.path} is of a codec that PyAV does not know'
            )
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
        self._stamps: list[int] | None = sorted(stamps)
        # The frames where decoding can start. To seek by the time of decoding
        # never leads behind them.
        self._keys = sorted(
            (
                bisect_left(self._stamps, pts),
                pts if dts is None else min(pts, dts),
            )
            for pts, dts in keys
        )
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

    def _from(self, seek_to: int | None) -> Iterator:
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

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
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
                        'frames can be decoded'
                    )
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
                f'{wanted[0]} to {wanted[-1]} can be decoded'
            )

    def _at(self, index: int):
        """A frame; None if decoding does not give it."""
        number = bisect_right(self._keys, (index, float('inf'))) - 1
        key, seek_to = self._keys[number] if number >= 0 else (0, None)
        if (
            self._decoded is None
            or index <= self._position
            or key > self._position + SEEK_BEYOND
        ):
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
        self._check_size(frame.width, frame.height)
        pixels = self._reformatter.reformat(frame, format='rgb24').to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turns))

    def times(self) -> np.ndarray | None:
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
