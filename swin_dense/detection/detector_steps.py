"""Run mmdet's detectors step by step, as test-time augmentation needs it.

The steps are: features of an image, boxes before NMS, and masks of boxes.
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

from swin_dense.detection.reppoints_v2.head import RepPointsV2Head
from swin_dense.detection.reppoints_v2.mask_head import MaskRepPointsV2Head

SUPPORTED = (
    'Supported are single-stage detectors whose dense head predicts boxes as '
    'BaseDenseHead does (RetinaNet, ATSS, FCOS, GFL, ...), RepPoints V2 with '
    'masks or without, and two-stage detectors with StandardRoIHead, '
    'CascadeRoIHead or HybridTaskCascadeRoIHead, with masks or without '
    '(Faster, Mask and Cascade R-CNN, HTC). Test without --tta'
)


class DenseDetectorSteps:
    """The steps of a single-stage detector of boxes.

    Args:
        model: The detector.

    Attributes:
        test_cfg: The settings `nms` and `max_per_img` for merging boxes.
        with_mask: False, as these detectors predict no masks.
    """

    with_mask = False

    def __init__(self, model: SingleStageDetector) -> None:
        self.model = model
        self.head = model.bbox_head
        self.test_cfg = self.head.test_cfg

    def features(self, image: Tensor) -> Any:
        """Return the features of an image `(1, 3, H, W)` for the head."""
        return self.model.extract_feat(image)

    def candidates(self, features: Any, sample: DetDataSample) -> InstanceData:
        """Return all boxes above the score threshold, before NMS.

        Args:
            features: Result of `features`.
            sample: Data sample with the sizes of the image.

        Returns:
            `bboxes` (N, 4), in pixels of the file; `scores`, `labels` (N,).
        """
        (predictions,) = self.head.predict_by_feat(
            *self.head(features),
            batch_img_metas=[sample.metainfo],
            rescale=True,
            with_nms=False,
        )
        return predictions


class LocationMaskSteps(DenseDetectorSteps):
    """The steps of Mask RepPoints V2, which predicts a mask per location.

    Args:
        model: The detector, with a MaskRepPointsV2Head.
    """

    with_mask = True

    def features(self, image: Tensor) -> Any:
        """Return the predictions of the head for an image `(1, 3, H, W)`.

        Returns:
            The maps of the head, and the features of pixels.
        """
        pyramid = self.model.extract_feat(image)
        return self.head(pyramid), self.head.mask_features(pyramid)

    def candidates(self, features: Any, sample: DetDataSample) -> InstanceData:
        """Return all boxes above the threshold, with the fields for masks."""
        (boxes,) = self.head.predict_by_feat(
            *features[0],
            batch_img_metas=[sample.metainfo],
            rescale=True,
            with_nms=False,
        )
        return boxes


class RoIDetectorSteps:
    """The steps of a two-stage detector of boxes, or of boxes and masks.

    Args:
        model: The detector.

    Attributes:
        test_cfg: The settings `nms` and `max_per_img` for merging boxes.
        with_mask: True if the detector predicts masks.
    """

    def __init__(self, model: TwoStageDetector) -> None:
        self.model = model
        self.head = model.roi_head
        self.test_cfg = self.head.test_cfg
        self.with_mask = self.head.with_mask

    def features(self, image: Tensor) -> Any:
        """Compute the features of an image `(1, 3, H, W)` for the heads.

        Returns:
            The pyramid, and other arguments of the RoI heads: in HTC, the
            features of its semantic branch.
        """
        pyramid = self.model.extract_feat(image)
        if not isinstance(self.head, HybridTaskCascadeRoIHead):
            return pyramid, {}
        semantic = None
        if self.head.with_semantic:
            semantic = self.head.semantic_head(pyramid)[1]
        return pyramid, dict(semantic_feat=semantic)

    def candidates(self, features: Any, sample: DetDataSample) -> InstanceData:
        """Return all boxes above the score threshold, before NMS.

        Args:
            features: Result of `features`.
            sample: Data sample with the sizes of the image.

        Returns:
            `bboxes` (N, 4), in pixels of the file; `scores`, `labels` (N,).
        """
        pyramid, extra = features
        proposals = self.model.rpn_head.predict(
            pyramid, [sample], rescale=False
        )
        (predictions,) = self.head.predict_bbox(
            pyramid,
            [sample.metainfo],
            proposals,
            rcnn_test_cfg=None,
            rescale=True,
            **extra,
        )
        scores = predictions.scores[:, :-1]  # (N, C), without the background
        place, label = (scores > self.test_cfg.score_thr).nonzero(
            as_tuple=True
        )
        # The head predicts a box for all classes, or a box for each class.
        shared = predictions.bboxes.shape[1] == 4
        boxes = predictions.bboxes.reshape(
            len(scores), -1 if len(scores) else 1, 4
        )  # (N, 1 or C, 4)
        return InstanceData(
            bboxes=boxes[place, 0 if shared else label],
            scores=scores[place, label],
            labels=label,
        )

    def mask_probabilities(
        self, features: Any, boxes: Tensor, labels: Tensor
    ) -> Tensor:
        """Predict the masks of boxes as probabilities.

        Args:
            features: Result of `features`.
            boxes: Boxes (N, 4) in pixels of the image.
            labels: Classes (N,), for heads with a mask per class.

        Returns:
            Probabilities (N, 1, h, w) of the cells of each box, averaged over
            the stages of a cascade.
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
            logits = [
                stage[each, labels, None]  # (N, 1, h, w)
                for stage in logits
            ]
        return sum(stage.sigmoid() for stage in logits) / len(logits)

    def paste(
        self, probabilities: Tensor, boxes: Tensor, sample: DetDataSample
    ) -> Tensor:
        """Paste masks into the image, with mmdet's own function.

        Args:
            probabilities: Result of `mask_probabilities`, (N, 1, h, w).
            boxes: Boxes (N, 4) in pixels of the file.
            sample: Data sample with the size of the file.

        Returns:
            Masks (N, H, W), bool.
        """
        instances = InstanceData(
            bboxes=boxes.clone(),  # mmdet rescales them in place
            labels=boxes.new_zeros(len(boxes), dtype=torch.long),
        )
        (predictions,) = self._mask_head.predict_by_feat(
            [probabilities],
            [instances],
            [dict(sample.metainfo, scale_factor=(1, 1))],
            rcnn_test_cfg=self.test_cfg,
            rescale=True,
            activate_map=True,
        )
        return predictions.masks

    @property
    def _mask_head(self) -> FCNMaskHead:
        """The mask head; in a cascade, that of the last stage."""
        heads = self.head.mask_head
        return heads[-1] if isinstance(heads, nn.ModuleList) else heads


def detector_steps(model: nn.Module) -> DenseDetectorSteps | RoIDetectorSteps:
    """Return the steps of a detector.

    Args:
        model: A detector of mmdet.

    Raises:
        ValueError: If the detector does not predict in these steps.
    """
    if isinstance(model, SingleStageDetector):
        _check_same(model, SingleStageDetector, 'predict')
        for kind, steps in (
            (MaskRepPointsV2Head, LocationMaskSteps),
            (RepPointsV2Head, DenseDetectorSteps),
        ):
            if isinstance(model.bbox_head, kind):
                _check_same(
                    model.bbox_head, kind, 'predict', 'predict_by_feat'
                )
                return steps(model)
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
    """Raise a ValueError if a subclass overrides one of these methods."""
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
