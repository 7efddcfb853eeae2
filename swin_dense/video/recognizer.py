"""A recognizer whose memory does not grow with the views of a test."""

from typing import Any

import torch
from mmaction.models import Recognizer3D
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class ClipRecognizer(Recognizer3D):
    """mmaction2's Recognizer3D that takes views in turns at any batch size.

    `test_cfg=dict(max_testing_views=N)` lets the backbone see N clips at a
    time, of all views of all videos of a batch; mmaction2's class does so for
    batches of a single video only. Arguments and results are those of
    Recognizer3D.
    """

    def extract_feat(
        self,
        inputs: Tensor,
        stage: str = 'neck',
        data_samples: Any = None,
        test_mode: bool = False,
    ) -> tuple:
        """Features of clips `(B, views, 3, T, H, W)`, see Recognizer3D.

        Raises:
            ValueError: `max_testing_views` is no positive number.
        """
        views = (self.test_cfg or {}).get('max_testing_views')
        if not test_mode or views is None or self.with_neck:
            return super().extract_feat(inputs, stage, data_samples, test_mode)
        if not isinstance(views, int) or views < 1:
            raise ValueError(
                'test_cfg.max_testing_views must be a positive '
                f'number, got {views!r}'
            )
        clips = inputs.flatten(0, 1)
        return torch.cat(
            [self.backbone(some) for some in clips.split(views)]
        ), {}
