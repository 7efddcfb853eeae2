"""Merge boxes and masks over scales and flips (test-time augmentation)."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor

from swin_dense.detection.detector_steps import (
    LocationMaskSteps,
    detector_steps,
)
from swin_dense.detection.location_masks import LocationMasks
from swin_dense.registry import MODELS

# Range of the square root of the area in pixels of COCO's small, medium and
# large boxes.
SIZES = dict(s=(0, 32), m=(32, 96), l=(96, float('inf')))
# Flipped axes of a map, by flip direction.
MIRRORED = dict(horizontal=(-1,), vertical=(-2,), diagonal=(-2, -1))

View = dict[str, list]


@MODELS.register_module()
class DetTTAModel(BaseTTAModel):
    """A detector that merges its predictions on several views of an image.

    Boxes above the score threshold of all views are mapped to the image file
    and pass the detector's own NMS or soft-NMS together. The masks of the
    merged boxes are predicted in each view, averaged as probabilities and
    pasted. With a single view the result is that of the detector itself.

    Views are processed one by one. Only boxes and the sum of the masks are
    kept, so memory does not grow with the number of views. In return, a
    detector with masks runs its backbone twice for all views but the last.

    Mask RepPoints V2 has no mask of a given box: the masks of its views are
    averaged where their boxes overlap (see `LocationMasks`), and the backbone
    runs once for each view.

    Args:
        module: The detector; see `detector_steps` for supported types.
        sizes: Box sizes that count in each view, as letters of 'sml' for
            COCO's small, medium and large. By default all sizes count.
        keep_features: If True, keep the features of all views. This is faster
            with masks, but takes gigabytes for large images.
        data_preprocessor: See mmengine.

    Raises:
        ValueError: If the detector is not supported, or a size is unknown.
    """

    def __init__(
        self,
        module: Any,
        sizes: Sequence[str] | None = None,
        keep_features: bool = False,
        data_preprocessor: Any = None,
    ) -> None:
        super().__init__(module, data_preprocessor)
        self.host = detector_steps(self.module)
        if sizes is not None and not all(
            s and {*s} <= {*SIZES} for s in sizes
        ):
            raise ValueError(
                "the sizes of test-time augmentation must be letters of 'sml' "
                f'for each scale, got {list(sizes)}'
            )
        self.sizes = sizes
        self.keep_features = keep_features

    def test_step(self, data: dict[str, list[list]]) -> list[DetDataSample]:
        """Detect objects in all views of a batch, image by image.

        Args:
            data: For each key of a batch a list of views, each a list with
                one entry per image.

        Returns:
            A data sample per image; see `merge_preds`.
        """
        views = range(len(data['inputs']))
        return self.merge_preds(
            [
                [
                    {
                        key: [values[view][image]]
                        for key, values in data.items()
                    }
                    for view in views
                ]
                for image in range(len(data['inputs'][0]))
            ]
        )

    def merge_preds(
        self, data_samples_list: list[list[View]]
    ) -> list[DetDataSample]:
        """Detect objects in the views of each image, and merge them.

        Args:
            data_samples_list: The views of each image, as input batches of
                one image.

        Returns:
            The data sample of each image's first view, with `pred_instances`
            in pixels of the file.
        """
        return [self._detect(views) for views in data_samples_list]

    def _detect(self, views: list[View]) -> DetDataSample:
        """Detect and merge the objects in all views of an image."""
        if self.sizes is not None and len(self.sizes) != len(views):
            raise ValueError(
                f'got {len(self.sizes)} sizes for {len(views)} views: give '
                'one for each scale of test-time augmentation'
            )
        kept: dict[int, Any] = {}
        samples, boxes_of_views = [], []
        by_location = None
        if isinstance(self.host, LocationMaskSteps):
            by_location = LocationMasks(self.host.head)
        for index, view in enumerate(views):
            if not self.keep_features:
                kept.clear()
            image, sample = self._prepare(view)
            kept[index] = self.host.features(image)
            boxes = self.host.candidates(kept[index], sample)
            samples.append(sample)
            boxes = _to_file(boxes, sample)
            if by_location is not None:
                boxes = by_location.add(
                    boxes, kept[index][1], sample, _mirrored(sample)
                )
            boxes_of_views.append(self._select(boxes, index))
        merged = self._merge(InstanceData.cat(boxes_of_views))
        if by_location is not None:
            merged.masks = by_location.masks(merged)
        elif self.host.with_mask:
            merged.masks = self._masks(merged, views, samples, kept)
        result = samples[0]
        result.pred_instances = merged
        return result

    def _prepare(self, view: View) -> tuple[Tensor, DetDataSample]:
        """Return the normalised image `(1, 3, H, W)` and sample of a view."""
        data = self.module.data_preprocessor(view, False)
        return data['inputs'], data['data_samples'][0]

    def _select(self, boxes: InstanceData, index: int) -> InstanceData:
        """Return the boxes whose size counts in a view."""
        if self.sizes is None:
            return boxes
        x1, y1, x2, y2 = boxes.bboxes.unbind(1)
        side = ((x2 - x1) * (y2 - y1)).sqrt()
        counts = torch.zeros_like(side, dtype=torch.bool)
        for letter in self.sizes[index]:
            low, high = SIZES[letter]
            counts |= (side >= low) & (side < high)
        return boxes[counts]

    def _merge(self, boxes: InstanceData) -> InstanceData:
        """Apply the detector's NMS and limit to the boxes of all views."""
        if len(boxes):
            cfg = self.host.test_cfg
            kept, places = batched_nms(
                boxes.bboxes, boxes.scores, boxes.labels, cfg.nms
            )
            boxes = boxes[places]
            boxes.scores = kept[:, -1]  # soft-NMS has lowered them
            if cfg.max_per_img > 0:
                boxes = boxes[: cfg.max_per_img]
        return boxes

    def _masks(
        self,
        boxes: InstanceData,
        views: list[View],
        samples: list[DetDataSample],
        kept: dict[int, Any],
    ) -> Tensor:
        """Predict masks (N, H, W) of boxes as the mean over all views.

        Args:
            boxes: Merged boxes in pixels of the file.
            views: Views of the image.
            samples: Data sample of each view.
            kept: Features that are computed already, by index of the view.
        """
        if not len(boxes):
            return boxes.bboxes.new_zeros(
                (0, *samples[0].ori_shape), dtype=torch.bool
            )
        steps: Any = self.host  # steps of a detector with masks
        total: Any = 0
        # From last to first: the features of the last view are still kept.
        for index, sample in reversed([*enumerate(samples)]):
            features = kept.pop(index, None) or steps.features(
                self._prepare(views[index])[0]
            )
            masks = steps.mask_probabilities(
                features, _from_file(boxes.bboxes, sample), boxes.labels
            )
            del features  # free them before the next are computed
            total = total + masks.flip(_mirrored(sample))
        return steps.paste(total / len(views), boxes.bboxes, samples[0])


def _mirrored(sample: DetDataSample) -> tuple[int, ...]:
    """Return the axes along which a view is flipped."""
    return MIRRORED[sample.flip_direction] if sample.get('flip') else ()


def _to_file(boxes: InstanceData, sample: DetDataSample) -> InstanceData:
    """Return boxes of a view, which are in pixels of the file, unflipped."""
    if sample.get('flip'):
        boxes.bboxes = bbox_flip(
            boxes.bboxes, sample.ori_shape, sample.flip_direction
        )
    return boxes


def _from_file(boxes: Tensor, sample: DetDataSample) -> Tensor:
    """Return boxes (N, 4) of the file in pixels of a view, flipped."""
    boxes = boxes * boxes.new_tensor(sample.scale_factor).repeat(2)
    if sample.get('flip'):
        boxes = bbox_flip(boxes, sample.img_shape, sample.flip_direction)
    return boxes
