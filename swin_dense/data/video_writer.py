"""Writing frames as a video file."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from swin_dense.files import replacing

# What is tried, the best first, with settings for small files of high
# quality. The same frames make the same file: one thread, and none of
# x264's weights for macroblock trees, which differ from run to run.
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
KEY_INTERVAL = 12


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], fps: float
) -> None:
    """Write an MP4 file in one piece, H.264 if this PyAV can, else MPEG-4.

    Args:
        path: The file.
        frames: `(H, W, 3)` each, RGB, uint8. A last row or column that makes
            a side odd is left out, which the codecs ask for.
        fps: Frames per second.

    Raises:
        ImportError: PyAV is not installed.
        ValueError: There are no frames.
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
    stream = None
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
                raise ValueError(f'no frames for {path}')
            container.mux(stream.encode())
