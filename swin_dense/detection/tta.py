"""Merging boxes and masks over scales and flips (test-time augmentation)."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData
from torch import Tensor

from swin_dense.detection.detector_steps import detector_steps
from swin_dense.registry import MODELS

# Sides of the squares between COCO's small, medium and large boxes.
SIZES = dict(s=(0, 32), m=(32, 96), l=(96, float('inf')))
MIRRORED = dict(horizontal=(-1,), vertical=(-2,), diagonal=(-2, -1))

View = dict[str, list]


@MODELS.register_module()
class DetTTAModel(BaseTTAModel):
    """A detector that looks at several views of an image.

    Boxes: what each view has above the score threshold is mapped back to the
    file; all of it together passes the detector's own (soft-)NMS. Masks: each
    view is asked for those of the merged boxes, the probabilities are
    averaged and pasted. One view alone is the plain test.

    Views are looked at one by one, and only boxes and the sum of the masks
    are kept, so memory does not grow with their number. The price is that a
    detector with masks runs its backbone twice for all views but the last.

    Args:
        module: The detector, see `detector_steps` for which.
        sizes: For each view the sizes of boxes that count, in COCO's sense:
            letters of 'sml'. All of them by default.
        keep_features: Whether to keep the features of all views instead:
            faster with masks, and gigabytes for large images.
        data_preprocessor: See mmengine.

    Raises:
        ValueError: If the results of the detector cannot be merged, or a
            size is unknown.
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
        """Detect in all views of a batch, image by image.

        Args:
            data: For each key of a batch, its value for each view: a list of
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
        """Detect in the views of each image, and merge.

        Args:
            data_samples_list: For each image its views, batches of one image
                that no model has seen yet.

        Returns:
            The data sample of each image's first view, with `pred_instances`
            in pixels of the file.
        """
        return [self._detect(views) for views in data_samples_list]

    def _detect(self, views: list[View]) -> DetDataSample:
        if self.sizes is not None and len(self.sizes) != len(views):
            raise ValueError(
                f'{len(self.sizes)} sizes were given for {len(views)} views: '
                'give one for each scale of test-time augmentation'
            )
        kept: dict[int, Any] = {}
        samples, found = [], []
        for index, view in enumerate(views):
            if not self.keep_features:
                kept.clear()
            image, sample = self._prepare(view)
            kept[index] = self.host.features(image)
            boxes = self.host.candidates(kept[index], sample)
            samples.append(sample)
            found.append(self._select(_to_file(boxes, sample), index))
        merged = self._merge(InstanceData.cat(found))
        if self.host.with_mask:
            merged.masks = self._masks(merged, views, samples, kept)
        result = samples[0]
        result.pred_instances = merged
        return result

    def _prepare(self, view: View) -> tuple[Tensor, DetDataSample]:
        """The normalised image of a view, and its sample."""
        data = self.module.data_preprocessor(view, False)
        return data['inputs'], data['data_samples'][0]

    def _select(self, boxes: InstanceData, index: int) -> InstanceData:
        """Leave out the boxes of sizes that a view is not there for."""
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
        """Suppress boxes as the detector does with those of one image."""
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
        """Masks (N, H, W) of boxes, by the mean over all views.

        Args:
            boxes: In pixels of the file.
            views: All views.
            samples: The sample of each.
            kept: Features that are there already, by index of the view.
        """
        if not len(boxes):
            return boxes.bboxes.new_zeros(
                (0, *samples[0].ori_shape), dtype=torch.bool
            )
        total: Any = 0
        # Backwards, because the features of the last view are still there.
        for index, sample in reversed([*enumerate(samples)]):
            features = kept.pop(index, None) or self.host.features(
                self._prepare(views[index])[0]
            )
            masks = self.host.mask_probabilities(
                features, _from_file(boxes.bboxes, sample), boxes.labels
            )
            del features  # before the next are computed
            total = total + masks.flip(_mirrored(sample))
        return self.host.paste(total / len(views), boxes.bboxes, samples[0])


def _mirrored(sample: DetDataSample) -> tuple[int, ...]:
    """Axes along which a view is mirrored."""
    return MIRRORED[sample.flip_direction] if sample.get('flip') else ()


def _to_file(boxes: InstanceData, sample: DetDataSample) -> InstanceData:
    """Boxes of a view, scaled back already, where they are in the file."""
    if sample.get('flip'):
        boxes.bboxes = bbox_flip(
            boxes.bboxes, sample.ori_shape, sample.flip_direction
        )
    return boxes


def _from_file(boxes: Tensor, sample: DetDataSample) -> Tensor:
    """Boxes (N, 4) of the file where they are in a view."""
    boxes = boxes * boxes.new_tensor(sample.scale_factor).repeat(2)
    if sample.get('flip'):
        boxes = bbox_flip(boxes, sample.img_shape, sample.flip_direction)
    return boxes
