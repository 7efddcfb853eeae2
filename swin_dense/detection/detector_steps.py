"""mmdet's detectors step by step: features, boxes before NMS, masks of boxes.

What test-time augmentation asks of a detector, for those that can answer.
"""

from typing import Any

import torch
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import (
    CascadeRoIHead,
    HybridTaskCascadeRoIHead,
    StandardRoIHead,
)
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor, nn

SUPPORTED = (
    'Supported are single-stage detectors of boxes whose dense head finds '
    'them as BaseDenseHead does (RetinaNet, ATSS, FCOS, GFL, ...), and '
    'two-stage ones with StandardRoIHead, CascadeRoIHead or '
    'HybridTaskCascadeRoIHead, with masks or without (Faster, Mask and '
    'Cascade R-CNN, HTC). Test without --tta'
)


class DenseDetectorSteps:
    """A single-stage detector of boxes.

    Args:
        model: The detector.

    Attributes:
        test_cfg: Says how boxes are merged: `nms` and `max_per_img`.
        with_mask: Whether it predicts masks.
    """

    with_mask = False

    def __init__(self, model: SingleStageDetector) -> None:
        self.model = model
        self.head = model.bbox_head
        self.test_cfg = self.head.test_cfg

    def features(self, image: Tensor) -> Any:
        """What the heads see of an image `(1, 3, H, W)`."""
        return self.model.extract_feat(image)

    def candidates(self, features: Any, sample: DetDataSample) -> InstanceData:
        """All boxes above the score threshold, before any are suppressed.

        Returns:
            `bboxes` (N, 4), in pixels of the file; `scores`, `labels` (N,).
        """
        (found,) = self.head.predict_by_feat(
            *self.head(features),
            batch_img_metas=[sample.metainfo],
            rescale=True,
            with_nms=False,
        )
        return found


class RoIDetectorSteps:
    """A two-stage detector of boxes, or of boxes and masks.

    Args:
        model: The detector.

    Attributes:
        test_cfg: Says how boxes are merged: `nms` and `max_per_img`.
        with_mask: Whether it predicts masks.
    """

    def __init__(self, model: TwoStageDetector) -> None:
        self.model = model
        self.head = model.roi_head
        self.test_cfg = self.head.test_cfg
        self.with_mask = self.head.with_mask

    def features(self, image: Tensor) -> Any:
        """What the heads see of an image `(1, 3, H, W)`.

        Returns:
            The pyramid, and what the RoI heads are told besides: in HTC, the
            map of its semantic branch.
        """
        pyramid = self.model.extract_feat(image)
        if not isinstance(self.head, HybridTaskCascadeRoIHead):
            return pyramid, {}
        semantic = None
        if self.head.with_semantic:
            semantic = self.head.semantic_head(pyramid)[1]
        return pyramid, dict(semantic_feat=semantic)

    def candidates(self, features: Any, sample: DetDataSample) -> InstanceData:
        """All boxes above the score threshold, before any are suppressed.

        Returns:
            `bboxes` (N, 4), in pixels of the file; `scores`, `labels` (N,).
        """
        pyramid, extra = features
        proposals = self.model.rpn_head.predict(
            pyramid, [sample], rescale=False
        )
        (found,) = self.head.predict_bbox(
            pyramid,
            [sample.metainfo],
            proposals,
            rcnn_test_cfg=None,
            rescale=True,
            **extra,
        )
        scores = found.scores[:, :-1]  # without the background
        place, label = (scores > self.test_cfg.score_thr).nonzero(
            as_tuple=True
        )
        # One box for all classes, or one for each.
        shared = found.bboxes.shape[1] == 4
        boxes = found.bboxes.reshape(len(scores), -1 if len(scores) else 1, 4)
        return InstanceData(
            bboxes=boxes[place, 0 if shared else label],
            scores=scores[place, label],
            labels=label,
        )

    def mask_probabilities(
        self, features: Any, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """How likely each cell of a box belongs to its object.

        Args:
            features: Of an image.
            boxes: (N, 4), in pixels of that image.
            labels: (N,); which class's mask to take.

        Returns:
            (N, 1, h, w): the mean over the stages of a cascade.
        """
        pyramid, extra = features
        rois = bbox2roi([boxes])
        if isinstance(self.head, HybridTaskCascadeRoIHead):
            logits = self.head._mask_forward(
                -1, pyramid, rois, training=False, **extra
            )['mask_preds']
        elif isinstance(self.head, CascadeRoIHead):
            logits = [
                self.head._mask_forward(stage, pyramid, rois)['mask_preds']
                for stage in range(self.head.num_stages)
            ]
        else:
            logits = [self.head._mask_forward(pyramid, rois)['mask_preds']]
        if not self._mask_head.class_agnostic:
            each = torch.arange(len(labels), device=labels.device)
            logits = [stage[each, labels, None] for stage in logits]
        return sum(stage.sigmoid() for stage in logits) / len(logits)

    def paste(
        self, probabilities: Tensor, boxes: Tensor, sample: DetDataSample
    ) -> Tensor:
        """Masks in the image, part by part as mmdet does it.

        Args:
            probabilities: (N, 1, h, w).
            boxes: (N, 4), in pixels of the file.
            sample: Tells the size of the file.

        Returns:
            (N, H, W), boolean.
        """
        found = InstanceData(
            bboxes=boxes.clone(),  # mmdet rescales them in place
            labels=boxes.new_zeros(len(boxes), dtype=torch.long),
        )
        (found,) = self._mask_head.predict_by_feat(
            [probabilities],
            [found],
            [dict(sample.metainfo, scale_factor=(1, 1))],
            rcnn_test_cfg=self.test_cfg,
            rescale=True,
            activate_map=True,
        )
        return found.masks

    @property
    def _mask_head(self) -> FCNMaskHead:
        """The mask head, the last one of a cascade."""
        heads = self.head.mask_head
        return heads[-1] if isinstance(heads, nn.ModuleList) else heads


def detector_steps(model: nn.Module) -> DenseDetectorSteps | RoIDetectorSteps:
    """The detector, step by step.

    Args:
        model: A detector of mmdet.

    Raises:
        ValueError: If its results do not come about in these steps.
    """
    if isinstance(model, SingleStageDetector):
        _check_same(model, SingleStageDetector, 'predict')
        _check_same(
            model.bbox_head,
            BaseDenseHead,
            'predict',
            'predict_by_feat',
            '_bbox_post_process',
        )
        return DenseDetectorSteps(model)
    if isinstance(model, TwoStageDetector) and model.with_rpn:
        _check_same(model, TwoStageDetector, 'predict')
        head = model.roi_head
        for kind in (
            HybridTaskCascadeRoIHead,
            CascadeRoIHead,
            StandardRoIHead,
        ):
            if isinstance(head, kind):
                _check_same(
                    head, kind, 'predict', 'predict_bbox', 'predict_mask'
                )
                host = RoIDetectorSteps(model)
                if host.with_mask:
                    _check_same(
                        host._mask_head, FCNMaskHead, 'predict_by_feat'
                    )
                return host
        model = head
    raise ValueError(
        'test-time augmentation cannot merge what '
        f'{type(model).__name__} predicts. {SUPPORTED}'
    )


def _check_same(part: nn.Module, kind: type, *methods: str) -> None:
    """Raise if a class does anything in another way than its base class."""
    changed = [
        name
        for name in methods
        if getattr(type(part), name, None) is not getattr(kind, name)
    ]
    if changed:
        raise ValueError(
            'test-time augmentation cannot merge what '
            f'{type(part).__name__} predicts: its {", ".join(changed)} '
            f'{"differs" if len(changed) == 1 else "differ"} from '
            f'{kind.__name__}. {SUPPORTED}'
        )
