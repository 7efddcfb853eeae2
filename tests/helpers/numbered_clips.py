"""Write small clips whose frames show their number."""

import os
import signal
from fractions import Fraction

import numpy as np

BITS = 8
HEIGHT, WIDTH = 48, 16 * BITS


def numbered_frame(number):
    """Return a frame `(48, 128, 3)` with a bar for each bit of its number."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[..., 0] = 90
    for bit in range(BITS):
        if number >> bit & 1:
            frame[:, 16 * bit : 16 * bit + 16] = (200, 200, 40)
    return frame


def number_of(frame):
    """Return the number that a decoded frame shows."""
    assert frame.shape == (HEIGHT, WIDTH, 3) and frame.dtype == np.uint8
    bars = frame[8:-8, :, 1].reshape(-1, BITS, 16)[:, :, 4:12].mean((0, 2))
    return sum(1 << bit for bit, value in enumerate(bars) if value > 100)


def write_clip(
    path,
    count=20,
    codec='libx264',
    rate=25,
    stamps=None,
    rotation=None,
    frames=None,
    **options,
):
    """Write numbered frames, with key frames far apart and B-frames.

    Args:
        path: The file; its suffix decides on the container.
        count: Number of frames.
        codec: Name of the encoder.
        rate: Frames per second.
        stamps: Time stamps of the frames in 1 / (100 * rate) seconds.
        rotation: Rotation for players in degrees, counterclockwise.
        frames: Frames to write instead of numbered frames.
        options: Options of the encoder.
    """
    import av

    frames = frames or [numbered_frame(i) for i in range(count)]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(
            codec, rate=rate, options={'threads': '1', **options}
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        stream.gop_size = 40
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 100 * rate)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format='rgb24')
            if stamps is not None:
                frame.pts = stamps[index]
                frame.time_base = Fraction(1, 100 * rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def check_or_crash(path):
    """Replace `check_video`: the third clip ends its process."""
    from swin_dense.video.clip_checks import check_video

    if path.endswith('2.mp4'):
        os.kill(os.getpid(), signal.SIGKILL)
    return check_video(path)
