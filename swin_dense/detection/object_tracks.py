"""Follow objects from frame to frame of a video, with ByteTrack.

The package trackers (extra `track`) brings ByteTrack: Y. Zhang et al.,
ByteTrack: Multi-Object Tracking by Associating Every Detection Box, 2022.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np

from swin_dense.detection.result import SCORE_THR, DetectionResult

# The least IoU of a box with the place where its track is expected.
_IOU_THR = 0.2


def check_installed() -> None:
    """Check that the package of the tracker is installed.

    Raises:
        ValueError: If it is not.
    """
    if find_spec('trackers') is None:
        raise ValueError(
            'following objects needs the package trackers: pip install '
            "'swin_dense[track]', or pip install trackers"
        )


class ObjectTracker:
    """Gives the objects of a video ids that stay the same in all frames.

    An object has its id from the second frame on in which it is found. It
    keeps the id if it is found again within a second, by its motion. Objects
    of different classes are never taken for each other.

    Args:
        fps: Frames of the video per second.
        score_thr: Least score of an instance that begins a track. Instances
            from half of it on continue a track.

    Raises:
        ValueError: If the package trackers is not installed.
    """

    def __init__(self, fps: float, score_thr: float = SCORE_THR) -> None:
        check_installed()
        from trackers import ByteTrackTracker

        self._least = score_thr / 2
        self._tracker = ByteTrackTracker(
            frame_rate=fps,
            track_activation_threshold=score_thr,
            high_conf_det_threshold=score_thr,
            minimum_iou_threshold=_IOU_THR,
        )

    def update(self, result: DetectionResult) -> DetectionResult:
        """Return the result of the next frame with ids.

        Args:
            result: The instances in the frame. It is not changed.

        Returns:
            The result with `track_ids`; -1 for instances of no track.
        """
        from supervision import Detections

        chosen = np.flatnonzero(result.scores >= self._least)
        boxes = result.boxes[chosen]
        # Boxes of different classes are moved apart, so that none overlap.
        height, width = result.image.shape[:2]
        apart = 4.0 * max(height, width) * result.labels[chosen, None]
        found: Any = self._tracker.update(
            Detections(
                xyxy=boxes + apart,  # (N, 4)
                confidence=result.scores[chosen],
                data={'index': chosen},
            )
        )
        ids = np.full(len(result), -1)
        if len(found):
            tracked = found.tracker_id >= 0
            # The tracker counts from 0.
            ids[found.data['index'][tracked]] = found.tracker_id[tracked] + 1
        return result.with_track_ids(ids)
