"""The RoI head of Hybrid Task Cascade (HTC), with optional parts."""

from typing import Any

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class HTCRoIHead(HybridTaskCascadeRoIHead):
    """mmdet's HybridTaskCascadeRoIHead with two corrections.

    It can be tested with `mask_info_flow=False`, where mmdet's class raises.
    A training sample without the label map of the semantic branch raises an
    error that names the image, where mmdet's class raises an AttributeError.
    Arguments and names of weights are mmdet's.
    """

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: SampleList,
    ) -> dict:
        """Compute the losses of all stages.

        Args:
            x: Pyramid of maps `(B, C, H_i, W_i)`.
            rpn_results_list: Proposals of each image.
            batch_data_samples: Ground truth of each image.

        Returns:
            Losses by name, as in mmdet.

        Raises:
            ValueError: If there is a semantic branch, and an image has no
                label map.
        """
        if self.with_semantic:
            for sample in batch_data_samples:
                if 'gt_sem_seg' not in sample:
                    raise ValueError(
                        f'{sample.get("img_path", "a training image")} has no '
                        'label map for the semantic branch: set data_prefix='
                        'dict(seg=...) in the training set and with_seg=True '
                        'in its LoadAnnotations, or leave the branch out with '
                        'model.roi_head.semantic_head=None'
                    )
        return super().loss(x, rpn_results_list, batch_data_samples)

    def _mask_forward(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        rois: Tensor,
        semantic_feat: Tensor | None = None,
        training: bool = True,
    ) -> Any:
        if training or self.mask_info_flow:
            return super()._mask_forward(
                stage, x, rois, semantic_feat, training
            )
        # Without the flow, the last stage does not need the others.
        last = super()._mask_forward(
            self.num_stages - 1, x, rois, semantic_feat
        )
        return dict(mask_preds=[last['mask_preds']])
