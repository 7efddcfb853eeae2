"""Frames of one clip, whatever reads them.

Frame n of a clip is the n-th picture that is shown, counted from 0, whatever
the file says of its length. Frames are `(H, W, 3)` arrays in RGB, uint8,
turned upright where the file says how it was held (not by decord).

H and W are the height and width of a frame in pixels.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from swin_dense.data.image_files import VARIABLE, max_pixels, pixel_problem

# Of the largest images: 32 frames of 8K may be decoded at a time.
FRAMES_AT_ONCE = 6


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
        self.fps: float | None = None
        self.announced: int | None = None
        self.num_frames = self._open()
        if self.num_frames < 1:
            raise VideoError(f'{self.path} has no frames')

    @staticmethod
    def is_available() -> bool:
        """Whether the library is installed."""
        return True

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames in the order asked for, each an array of its own.

        Raises:
            VideoError: A frame is not there or cannot be decoded, the frames
                differ in size, or all together they are too large.
        """
        wanted = sorted({int(index) for index in indices})
        if wanted and not 0 <= wanted[0] <= wanted[-1] < self.num_frames:
            raise VideoError(
                f'{self.path} has the frames 0 to {self.num_frames - 1}; '
                f'asked for are {wanted[0]} to {wanted[-1]}'
            )
        found: dict[int, np.ndarray] = {}
        left = FRAMES_AT_ONCE * max_pixels()
        for index, frame in self._read(wanted) if wanted else ():
            found[index] = frame
            left -= frame.shape[0] * frame.shape[1]
            if left < 0:
                raise VideoError(
                    f'{self.path}: {len(wanted)} frames of '
                    f'{frame.shape[1]}x{frame.shape[0]} have more than the '
                    f'{FRAMES_AT_ONCE * max_pixels():,} pixels that are '
                    f'decoded at a time, {FRAMES_AT_ONCE} times the limit '
                    f'that {VARIABLE} sets'
                )
        sizes = {frame.shape for frame in found.values()}
        if len(sizes) > 1:
            raise VideoError(
                f'{self.path} changes its size: frames are '
                f'{sorted(size[:2] for size in sizes)} (height, '
                'width)'
            )
        frames, given = [], set()
        for index in map(int, indices):
            # Transforms that flip in place would flip a shared one twice.
            again = index in given
            frames.append(found[index].copy() if again else found[index])
            given.add(index)
        return frames

    def times(self) -> np.ndarray | None:
        """When each frame is shown, in seconds from the first `(n,)`.

        None if nothing says so.
        """
        return self.fps and np.arange(self.num_frames) / self.fps

    def close(self) -> None:
        """Close the file."""

    def _open(self) -> int:
        """Open the clip; the number of frames."""
        raise NotImplementedError

    def _read(self, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Index and frame for each of the indices, which ascend."""
        raise NotImplementedError

    def _check_size(self, width: int, height: int) -> None:
        """Refuse a frame that is too large, before it is decoded.

        Raises:
            VideoError: If it has more than `max_pixels` pixels.
        """
        problem = pixel_problem(int(width), int(height))
        if problem:
            raise VideoError(f'{self.path}: a frame {problem}')

    def _check_name(self) -> None:
        """Refuse a name that libraries in C++ crash on.

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
        """What to raise when the library reports an error."""
        reason = getattr(error, 'strerror', None) or str(error) or repr(error)
        return VideoError(f'{self.path} cannot be decoded: {reason}')
