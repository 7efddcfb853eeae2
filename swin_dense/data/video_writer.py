"""Write frames as a video file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.files import replacing

# Encoders and their options for small files of high quality, the best first.
# The same frames must give the same file: one thread, and no macroblock trees
# of x264, which differ from run to run.
ENCODERS = (
    (
        'libx264',
        {
            'crf': '16',
            'preset': 'veryfast',
            'threads': '1',
            'x264-params': 'mbtree=0',
        },
    ),
    ('mpeg4', {'qscale': '2', 'threads': '1'}),
)
KEY_INTERVAL = 12  # frames from one key frame to the next


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: float
) -> None:
    """Write an MP4 file atomically, as H.264 if PyAV has it, else MPEG-4.

    Args:
        path: The file.
        frames: Frames `(H, W, 3)` in RGB, uint8. The codecs need even sides,
            so the last row or column of an odd side is left out.
        fps: Frames per second.

    Raises:
        ImportError: If PyAV is not installed.
        ValueError: If there are no frames.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'writing videos needs PyAV: pip install av, or '
            "swin_dense with its extra 'video'"
        ) from error
    name, options = next(
        (name, options)
        for name, options in ENCODERS
        if name in av.codec.codecs_available
    )
    stream: Any = None
    with replacing(Path(path)) as partial:
        with av.open(str(partial), 'w', format='mp4') as container:
            for pixels in frames:
                height, width = (side // 2 * 2 for side in pixels.shape[:2])
                if stream is None:
                    stream = container.add_stream(
                        name,
                        rate=Fraction(fps).limit_denominator(1001),
                        options=options,
                    )
                    stream.width, stream.height = width, height
                    stream.pix_fmt = 'yuv420p'
                    stream.gop_size = KEY_INTERVAL
                pixels = np.ascontiguousarray(pixels[:height, :width])
                frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
                container.mux(stream.encode(frame))
            if stream is None:
                raise ValueError(
                    f'cannot write {path}: a video needs at least one frame, '
                    'got none'
                )
            container.mux(stream.encode())
