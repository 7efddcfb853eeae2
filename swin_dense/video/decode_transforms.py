"""Open and decode clips in the pipelines of mmaction2."""

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from swin_dense.data.video_reader import Video, check_decoders
from swin_dense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class VideoInit(BaseTransform):
    """Open a clip: a video file, or a folder of frames.

    Replaces mmaction2's `DecordInit`, `PyAVInit` and `OpenCVInit`. Needs
    `filename`. Adds `video_reader`, `total_frames` and `avg_fps`, and sets
    `start_index`, the number of the first frame, to 0.

    Args:
        decoders: Names in the order to be tried; see `check_decoders`. None
            takes all that are installed.
        num_threads: Threads of a decoder; 0 lets the decoder choose.

    Raises:
        ImportError: If a requested decoder is not installed.
        ValueError: If the name of a decoder is unknown.
    """

    def __init__(
        self, decoders: Sequence[str] | None = None, num_threads: int = 1
    ) -> None:
        self.decoders = check_decoders(decoders)
        self.num_threads = num_threads

    def transform(self, results: dict) -> dict:
        """Open the clip `filename`.

        Raises:
            VideoError: If the clip cannot be read, or has no frames.
        """
        video = Video(results['filename'], self.decoders, self.num_threads)
        results['video_reader'] = video
        results['total_frames'] = video.num_frames
        results['avg_fps'] = video.fps
        results['start_index'] = 0
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(decoders={self.decoders}, '
            f'num_threads={self.num_threads})'
        )


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the frames chosen by `SampleFrames`, and close the clip.

    Replaces mmaction2's `DecordDecode`, `PyAVDecode` and `OpenCVDecode`.
    Needs `video_reader` and `frame_inds`. Adds `imgs`, frames `(H, W, 3)` in
    RGB, uint8, and their `original_shape` and `img_shape`.

    If a clip is shorter than the sampled span, `SampleFrames` repeats it from
    its start (`out_of_bound_opt`). The first such clip is logged.
    """

    def __init__(self) -> None:
        # In shared memory, so that of all data loading processes one logs.
        self._has_logged = torch.zeros((), dtype=torch.bool).share_memory_()

    def transform(self, results: dict) -> dict:
        """Decode the frames `frame_inds` of `video_reader`.

        Raises:
            VideoError: If a frame cannot be decoded.
        """
        with results['video_reader'] as video:
            self._log_short(results, video)
            # The indices may be (clips, frames).
            images = video.frames(np.ravel(results['frame_inds']))
        results['video_reader'] = None
        results['imgs'] = images
        results['original_shape'] = images[0].shape[:2]
        results['img_shape'] = images[0].shape[:2]
        return results

    def _log_short(self, results: dict, video: Video) -> None:
        """Log the first clip that is shorter than the sampled span."""
        interval = results.get('frame_interval') or 1
        span = (results.get('clip_len', 1) - 1) * interval + 1
        if span > video.num_frames and not self._has_logged:
            self._has_logged.fill_(True)
            print_log(
                f'{video.path} has {video.num_frames} frames, and '
                f'{results["clip_len"]} frames in steps of {interval} span '
                f'{span}: short clips are repeated from their start, and only '
                'this one is logged. To sample more densely, lower '
                'frame_interval',
                'current',
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
