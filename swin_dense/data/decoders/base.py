"""The interface of all decoders.

Frame n of a clip is the n-th picture that is shown, counted from 0; the
length in the file's header plays no part. A frame is an array `(H, W, 3)` in
RGB, uint8, turned upright if the file stores a rotation (decord ignores it).

H and W are the height and width of a frame in pixels.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from swin_dense.data.image_files import VARIABLE, max_pixels, pixel_problem

# Frames of one call may have this many times `max_pixels()` pixels together:
# enough for 32 frames in 8K.
FRAMES_AT_ONCE = 6


class VideoError(ValueError):
    """A clip cannot be read; the message gives the file and the reason."""


class Decoder:
    """Base class of decoders: opens a clip and returns its frames.

    Args:
        path: The video file, or the folder of frames.
        num_threads: Threads of the library; 0 lets it choose.

    Attributes:
        num_frames: Number of frames that can be decoded.
        fps: Mean frames per second; None if the file does not say.
        header_frame_count: Number of frames in the file's header; None if it
            has none.

    Raises:
        VideoError: If the clip cannot be opened, or has no frames.
    """

    name = ''

    def __init__(self, path: str, num_threads: int = 1) -> None:
        self.path = str(path)
        self.num_threads = num_threads
        self.fps: float | None = None
        self.header_frame_count: int | None = None
        self.num_frames = self._open()
        if self.num_frames < 1:
            raise VideoError(f'{self.path} has no frames')

    @staticmethod
    def is_available() -> bool:
        """Return True if the library is installed."""
        return True

    def frames(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Decode frames, each into a separate array.

        Args:
            indices: Frame numbers, counted from 0, in any order.

        Returns:
            A frame `(H, W, 3)` in RGB, uint8, for each index.

        Raises:
            VideoError: If a frame does not exist or cannot be decoded, if
                frames differ in size, or if they have too many pixels in all.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise VideoError(
                f'{self.path} has the frames 0 to {self.num_frames - 1}; '
                f'requested are {wanted[0]} to {wanted[-1]}'
            )
        decoded: dict[int, np.ndarray] = {}
        left = FRAMES_AT_ONCE * max_pixels()
        for index, frame in self._read(wanted) if wanted else ():
            decoded[index] = frame
            left -= frame.shape[0] * frame.shape[1]
            if left < 0:
                raise VideoError(
                    f'{self.path}: {len(wanted)} frames of '
                    f'{frame.shape[1]}x{frame.shape[0]} have more than the '
                    f'{FRAMES_AT_ONCE * max_pixels():,} pixels that are '
                    f'decoded at a time, {FRAMES_AT_ONCE} times the limit '
                    f'that {VARIABLE} sets'
                )
        sizes = {frame.shape for frame in decoded.values()}
        if len(sizes) > 1:
            raise VideoError(
                f'{self.path} changes its size: frames are '
                f'{sorted(size[:2] for size in sizes)} (height, '
                'width)'
            )
        frames, used = [], set()
        for index in map(int, indices):
            # A transform that flips in place would flip a shared frame twice.
            again = index in used
            frames.append(decoded[index].copy() if again else decoded[index])
            used.add(index)
        return frames

    def times(self) -> np.ndarray | None:
        """Return the time of each frame in seconds from the first `(n,)`.

        None if the file does not say.
        """
        if not self.fps:
            return None
        return np.arange(self.num_frames) / self.fps

    def close(self) -> None:
        """Close the file."""

    def _open(self) -> int:
        """Open the clip and return the number of frames."""
        raise NotImplementedError

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield index and frame for each of the indices, which ascend."""
        raise NotImplementedError

    def _check_size(self, width: float, height: float) -> None:
        """Check the size of a frame in pixels, before it is decoded.

        Raises:
            VideoError: If it has more than `max_pixels()` pixels.
        """
        problem = pixel_problem(int(width), int(height))
        if problem:
            raise VideoError(f'{self.path}: a frame {problem}')

    def _check_name(self) -> None:
        """Check that the path is UTF-8; other names crash C++ libraries.

        Raises:
            VideoError: If it is not UTF-8.
        """
        try:
            self.path.encode()
        except UnicodeEncodeError:
            raise VideoError(
                f'{self.path} has a name that is not UTF-8, '
                f'which {self.name} cannot open: rename it, or '
                'install PyAV (pip install av)'
            ) from None

    def _fails(self, error: Exception) -> VideoError:
        """Return the exception to raise for an error of the library."""
        reason = getattr(error, 'strerror', None) or str(error) or repr(error)
        return VideoError(f'{self.path} cannot be decoded: {reason}')
