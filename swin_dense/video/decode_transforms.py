"""Clips in the pipelines of mmaction2, read by whatever decoder can."""

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

    Takes the place of mmaction2's `DecordInit`, `PyAVInit` and `OpenCVInit`.
    Needs `filename`; adds `video_reader`, `total_frames` and `avg_fps`, and
    sets `start_index` to 0, from which frames count.

    Args:
        decoders: Names in the order to be tried, see `check_decoders`; None
            takes all that are installed.
        num_threads: Threads of a decoder; 0 leaves it to the decoder.

    Raises:
        ImportError: A decoder that is named is not installed.
        ValueError: A name of a decoder is unknown.
    """

    def __init__(
        self, decoders: Sequence[str] | None = None, num_threads: int = 1
    ) -> None:
        self.decoders = check_decoders(decoders)
        self.num_threads = num_threads

    def transform(self, results: dict) -> dict:
        """Open the clip.

        Raises:
            VideoError: It cannot be read, or has no frames.
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
    """Decode the frames that `SampleFrames` chose, and close the clip.

    Takes the place of mmaction2's `DecordDecode`, `PyAVDecode` and
    `OpenCVDecode`. Needs `video_reader` and `frame_inds`; adds `imgs`, frames
    `(H, W, 3)` in RGB, and their `original_shape` and `img_shape`.

    A clip that is shorter than the frames to be sampled span starts again at
    its end, by the `out_of_bound_opt` of `SampleFrames`; the first one is
    logged.
    """

    def __init__(self) -> None:
        # Shared with the processes that load data: one line, not one each.
        self._told = torch.zeros((), dtype=torch.bool).share_memory_()

    def transform(self, results: dict) -> dict:
        """Decode the frames.

        Raises:
            VideoError: A frame cannot be decoded.
        """
        with results['video_reader'] as video:
            self._tell_short(results, video)
            # The index may have one axis for clips and one for frames.
            images = video.frames(np.ravel(results['frame_inds']))
        results['video_reader'] = None
        results['imgs'] = images
        results['original_shape'] = images[0].shape[:2]
        results['img_shape'] = images[0].shape[:2]
        return results

    def _tell_short(self, results: dict, video: Video) -> None:
        """Log the first clip that the sampled frames do not fit into."""
        interval = results.get('frame_interval') or 1
        span = (results.get('clip_len', 1) - 1) * interval + 1
        if span > video.num_frames and not self._told:
            self._told.fill_(True)
            print_log(
                f'{video.path} has {video.num_frames} frames, and '
                f'{results["clip_len"]} frames in steps of {interval} span '
                f'{span}: it is played again from its start, as are others '
                'that are short, without another line. To sample more '
                'densely, lower frame_interval',
                'current',
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
