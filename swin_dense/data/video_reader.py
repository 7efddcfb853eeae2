"""Read frames of a video file, a folder of images or an array."""

import os
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from swin_dense.data.decoders import DECODERS
from swin_dense.data.decoders.array import FrameArray
from swin_dense.data.decoders.base import Decoder, VideoError
from swin_dense.data.decoders.folder import FrameFolder
from swin_dense.files import UnreadableFileError, open_regular

VIDEOS = (
    '.mp4',
    '.avi',
    '.mkv',
    '.webm',
    '.mov',
    '.m4v',
    '.mpg',
    '.mpeg',
    '.wmv',
    '.flv',
    '.ts',
    '.3gp',
    '.gif',
)

# First bytes of playlists, which FFmpeg would follow to other files or hosts.
PLAYLISTS = (b'ffconcat', b'#EXTM3U', b'v=0')
HEAD = 4096


def check_decoders(decoders: Sequence[str] | None = None) -> list[str]:
    """Return the names of the decoders to use, in the order to be tried.

    Args:
        decoders: Keys of `DECODERS`; None takes all that are installed.

    Raises:
        ImportError: If a requested decoder is not installed.
        ValueError: If a name is unknown, or the list is empty.
    """
    if decoders is None:
        return [name for name in DECODERS if DECODERS[name].is_available()]
    if isinstance(decoders, str):
        decoders = [decoders]
    unknown = [name for name in decoders if name not in DECODERS]
    if unknown or not decoders:
        raise ValueError(
            f'decoders={list(decoders)}: choose from {list(DECODERS)}'
        )
    for name in decoders:
        if not DECODERS[name].is_available():
            package = {'pyav': 'av>=15'}.get(name, name)
            raise ImportError(
                f'the decoder {name!r} is not installed, or too '
                f'old: pip install "{package}", or choose another of '
                f'{list(DECODERS)}'
            )
    return list(decoders)


class Video:
    """The frames of a video file, of a folder of images, or of an array.

    If a decoder fails, the next one is tried.

    Args:
        path: The file or folder; or frames `(T, H, W, 3)` in RGB, uint8.
        decoders: Names in the order to be tried; see `check_decoders`.
        num_threads: Threads of a decoder; 0 lets the decoder choose.

    Attributes:
        path: The file or folder; 'the array' for frames.

    Raises:
        VideoError: If no decoder can read the clip. The message gives the
            file and the reason of each decoder.
    """

    def __init__(
        self,
        path: str | np.ndarray,
        decoders: Sequence[str] | None = None,
        num_threads: int = 1,
    ) -> None:
        self.num_threads = num_threads
        self._reasons: list[str] = []
        self._left: list[str] = []
        self._decoder: Decoder
        if isinstance(path, np.ndarray):
            self._decoder = FrameArray(path)
            self.path = self._decoder.path
            return
        self.path = str(path)
        if os.path.isdir(self.path):
            self._decoder = FrameFolder(self.path)
            return
        try:
            with open_regular(self.path) as file:
                start = file.read(HEAD)
        except UnreadableFileError as error:
            raise VideoError(str(error)) from None
        if start.startswith(PLAYLISTS) or b'<MPD' in start:
            raise VideoError(
                f'{self.path} is a list of other files or '
                'addresses, not a video'
            )
        self._left = check_decoders(decoders)
        self._next()

    def _next(self) -> None:
        """Open the clip with the next decoder that can read it."""
        while self._left:
            name = self._left.pop(0)
            try:
                self._decoder = DECODERS[name](self.path, self.num_threads)
                return
            except VideoError as error:
                self._reasons.append(f'{name}: {error}')
        raise VideoError(
            '\n  '.join([f'{self.path} cannot be read', *self._reasons])
        )

    @property
    def decoder(self) -> str:
        """Name of the decoder in use."""
        return self._decoder.name

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self._decoder.num_frames

    @property
    def fps(self) -> float | None:
        """Mean frames per second; None if the file does not say."""
        return self._decoder.fps

    @property
    def header_frame_count(self) -> int | None:
        """Number of frames in the file's header; None if it has none."""
        return self._decoder.header_frame_count

    def times(self) -> np.ndarray | None:
        """Return the time of each frame in seconds from the first `(n,)`.

        None if the file does not say.
        """
        return self._decoder.times()

    def frames(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Decode frames.

        Args:
            indices: Frame numbers, counted from 0, in any order.

        Returns:
            A frame `(H, W, 3)` in RGB, uint8, for each index.

        Raises:
            VideoError: If an index does not exist, or no decoder can decode
                a frame.
        """
        while True:
            try:
                return self._decoder.frames(indices)
            except VideoError as error:
                self._reasons.append(f'{self.decoder}: {error}')
                failed = self.decoder
            self._decoder.close()
            self._next()
            print_log(
                f'{self._reasons[-1]}; {self.decoder} is used instead of '
                f'{failed}',
                'current',
            )

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def __enter__(self) -> 'Video':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.num_frames
