"""The RoI heads of Hybrid Task Cascade, every ingredient a switch."""

from typing import Any

from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from torch import Tensor

from swin_dense.registry import MODELS


@MODELS.register_module()
class HTCRoIHead(HybridTaskCascadeRoIHead):
    """mmdet's HybridTaskCascadeRoIHead, with two repairs.

    Without the flow of mask information (`mask_info_flow=False`) it can be
    tested, which mmdet's cannot; and a sample without a label map, which the
    semantic branch learns from, is named instead of ending in an
    AttributeError. All else, arguments and names of weights included, is
    mmdet's.
    """

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: InstanceList,
        batch_data_samples: SampleList,
    ) -> dict:
        """Losses of all stages; see mmdet.

        Raises:
            ValueError: If there is a semantic branch and no label map.
        """
        if self.with_semantic:
            for sample in batch_data_samples:
                if 'gt_sem_seg' not in sample:
                    raise ValueError(
                        f'{sample.get("img_path", "a training image")} has no '
                        'label map for the semantic branch: set data_prefix='
                        'dict(seg=...) in the training set and with_seg=True in '
                        'its LoadAnnotations, or leave the branch out with '
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
        # Each head stands alone, so the last one is asked directly.
        last = super()._mask_forward(
            self.num_stages - 1, x, rois, semantic_feat
        )
        return dict(mask_preds=[last['mask_preds']])
