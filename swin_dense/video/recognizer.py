"""A recognizer whose memory does not grow with the number of test views."""

from typing import Any

import torch
from mmaction.models import Recognizer3D
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class ClipRecognizer(Recognizer3D):
    """mmaction2's Recognizer3D with `max_testing_views` at any batch size.

    With `test_cfg=dict(max_testing_views=N)` the backbone gets N clips at a
    time, from all views of all videos of a batch. mmaction2's class does so
    for batches of a single video only. Arguments and results are those of
    Recognizer3D.
    """

    def extract_feat(
        self,
        inputs: Tensor,
        stage: str = 'neck',
        data_samples: Any = None,
        test_mode: bool = False,
    ) -> tuple:
        """Extract features of clips; see Recognizer3D.

        Args:
            inputs: Clips `(B, views, 3, T, H, W)`.
            stage: Last module to run, 'backbone' or 'neck'.
            data_samples: See Recognizer3D.
            test_mode: If True, all views are used.

        Returns:
            Features of B * views clips, and arguments of the head's loss.

        Raises:
            ValueError: If `max_testing_views` is not a positive integer.
        """
        views = (self.test_cfg or {}).get('max_testing_views')
        if not test_mode or views is None or self.with_neck:
            return super().extract_feat(inputs, stage, data_samples, test_mode)
        if not isinstance(views, int) or views < 1:
            raise ValueError(
                'test_cfg.max_testing_views must be a positive '
                f'number, got {views!r}'
            )
        clips = inputs.flatten(0, 1)  # (B * views, 3, T, H, W)
        features = [self.backbone(chunk) for chunk in clips.split(views)]
        return torch.cat(features), {}
