"""A clip, whatever it takes to read it."""

import os
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log

from swin_dense.data.decoders import DECODERS
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

# How lists begin that FFmpeg would follow to other files and hosts.
PLAYLISTS = (b'ffconcat', b'#EXTM3U', b'v=0')
HEAD = 4096


def check_decoders(decoders: Sequence[str] | None = None) -> list[str]:
    """The decoders to use, in their order.

    Args:
        decoders: Names, keys of `DECODERS`; None takes all that are installed.

    Raises:
        ImportError: One that is named is not installed.
        ValueError: A name is unknown, or there is none.
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
                f'old: pip install "{package}", or name another'
            )
    return list(decoders)


class Video:
    """The frames of a video file, or of a folder of images.

    What one decoder cannot read, the next one tries.

    Args:
        path: The file or folder.
        decoders: Names in the order to be tried, see `check_decoders`.
        num_threads: Threads of a decoder; 0 leaves it to the decoder.

    Raises:
        VideoError: Nothing can read it. The message names the file and gives
            the reason of each decoder.
    """

    def __init__(
        self,
        path: str,
        decoders: Sequence[str] | None = None,
        num_threads: int = 1,
    ) -> None:
        self.path = str(path)
        self.num_threads = num_threads
        self._reasons: list[str] = []
        if os.path.isdir(self.path):
            self._left: list[str] = []
            self._decoder: Decoder = FrameFolder(self.path)
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
        """Open the clip with the next decoder that can."""
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
        """Name of the decoder that reads it."""
        return self._decoder.name

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return self._decoder.num_frames

    @property
    def fps(self) -> float | None:
        """Frames per second on average; None if nothing says so."""
        return self._decoder.fps

    @property
    def announced(self) -> int | None:
        """How many frames the file's header says there are, if it does."""
        return self._decoder.announced

    def times(self) -> np.ndarray | None:
        """When each frame is shown, in seconds from the first `(n,)`.

        None if nothing says so.
        """
        return self._decoder.times()

    def frames(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Frames `(H, W, 3)` in RGB, uint8, in the order asked for.

        Raises:
            VideoError: A frame is not there, or nothing can decode it.
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
                f'{self._reasons[-1]}; {self.decoder} goes on in place of '
                f'{failed}',
                'current',
            )

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def __enter__(self) -> 'Video':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __len__(self) -> int:
        return self.num_frames
