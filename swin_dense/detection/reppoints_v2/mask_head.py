"""The head of Mask RepPoints V2: RepPoints V2 with dynamic mask convolutions.

Dimension key: B images, N locations of all levels of the pyramid, M detections
of an image, h and w the size of a level.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.utils import aligned_bilinear, unpack_gt_instances
from mmdet.structures import SampleList
from mmdet.utils import InstanceList
from mmengine.model import normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from swin_dense.compat.operators.sampling import MAX_ELEMENTS
from swin_dense.detection.reppoints_v2.dynamic_masks import (
    DynamicConvs,
    MaskBranch,
    Objects,
)
from swin_dense.detection.reppoints_v2.head import RepPointsV2Head
from swin_dense.detection.reppoints_v2.mask_losses import (
    dice_loss,
    mask_centers,
    mask_targets,
)
from swin_dense.registry import MODELS

# Of the masks of the input, of the first hidden layer and of the last layer.
LOSS_WEIGHTS = (0.0, 0.6, 1.0)


class MaskLayers(nn.Module):
    """The mask branch and the dynamic convolutions.

    The parameter names are those of the released checkpoints.

    Args:
        branch: Arguments of `MaskBranch`.
        head: Arguments of `DynamicConvs`.
    """

    def __init__(self, branch: dict, head: dict) -> None:
        super().__init__()
        self.branch = MaskBranch(**branch)
        self.head = DynamicConvs(**head)


@MODELS.register_module()
class MaskRepPointsV2Head(RepPointsV2Head):
    """RepPoints V2 that predicts dynamic convolutions for masks.

    Each location predicts the weights of the convolutions that compute the
    mask of its object. Objects are assigned around the centroids of their
    masks, so use `CenterPointAssigner` and `CenterATSSAssigner`.

    Args:
        mask_channels: Channels of the mask branch.
        mask_features: Features of a pixel for the dynamic convolutions, and
            hidden channels of these convolutions.
        mask_levels: Number of levels that the mask branch reads, the finest
            first.
        mask_convs: Number of convolutions of the mask branch after the sum of
            the levels.
        mask_stride: Pixels of the image per pixel of the target masks.
        max_masks: Largest number of masks of a batch in training; a random
            choice is made if there are more.
        mask_norm_cfg: Norm of the mask branch.
        **kwargs: Arguments of `RepPointsV2Head`.

    Raises:
        ValueError: If `mask_levels` is larger than the number of levels.
    """

    def __init__(
        self,
        *args: Any,
        mask_channels: int = 128,
        mask_features: int = 8,
        mask_levels: int = 3,
        mask_convs: int = 4,
        mask_stride: int = 4,
        max_masks: int = 500,
        mask_norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if mask_levels > len(self.point_strides):
            raise ValueError(
                f'MaskRepPointsV2Head: mask_levels={mask_levels}, but '
                f'point_strides={list(self.point_strides)} has '
                f'{len(self.point_strides)} levels; expected at most as many'
            )
        self.mask_stride = mask_stride
        self.max_masks = max_masks
        self.mask_head = MaskLayers(
            branch=dict(
                in_channels=self.in_channels,
                channels=mask_channels,
                out_channels=mask_features,
                num_levels=mask_levels,
                num_convs=mask_convs,
                norm_cfg=mask_norm_cfg or dict(type='BN'),
            ),
            head=dict(
                in_channels=mask_features,
                channels=mask_features,
                strides=self.point_strides,
            ),
        )
        self.controller = nn.Conv2d(
            self.point_feat_channels,
            self.mask_head.head.num_params,
            3,
            padding=1,
        )

    def init_weights(self) -> None:
        """Initialise the weights."""
        super().init_weights()
        if self.init_cfg is None:
            normal_init(self.controller, std=0.01)

    def _more_outputs(self, cls_feat: Tensor) -> tuple[Tensor, ...]:
        return (self.controller(cls_feat),)

    def loss(
        self, x: Sequence[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Return the losses of boxes and masks.

        Args:
            x: The pyramid, (B, channels, h, w) for each level.
            batch_data_samples: `gt_instances` with `bboxes`, `labels` and
                `masks` of each image.
        """
        outputs = self(x)
        batch_objects, _, metas = unpack_gt_instances(batch_data_samples)
        batch_objects = [
            InstanceData(
                bboxes=objects.bboxes,
                labels=objects.labels,
                masks=objects.masks,
                centers=mask_centers(objects),
            )
            for objects in batch_objects
        ]
        (
            cls_scores,
            points_init,
            points_refine,
            corner_scores,
            corner_offsets,
            foreground,
            params,
        ) = outputs
        losses, matches = self._point_losses(
            cls_scores, points_init, points_refine, batch_objects, metas
        )
        losses.update(
            self._verification_losses(
                corner_scores,
                corner_offsets,
                foreground,
                batch_objects,
                metas,
            )
        )
        losses.update(
            self._mask_losses(x, params, points_init, matches, batch_objects)
        )
        return losses

    def _mask_losses(
        self,
        x: Sequence[Tensor],
        params: list[Tensor],
        points_init: list[Tensor],
        matches: Tensor,
        batch_objects: InstanceList,
    ) -> dict[str, Tensor]:
        """Return the Dice losses of the masks of all positive locations."""
        features = self.mask_head.branch(x)
        stride = self.point_strides[0]
        levels = self._extra_fields(points_init, params)
        fields = {
            name: torch.cat([level[name].flatten(2) for level in levels], 2).mT
            for name in levels[0]
        }  # (B, N, K) each
        image, place = (matches >= 0).nonzero(as_tuple=True)
        if len(image) > self.max_masks:
            chosen = torch.randperm(len(image))[: self.max_masks]
            chosen = chosen.to(image.device)
            image, place = image[chosen], place[chosen]
        totals = [0 * (features.sum() + fields['params'].sum())] * 3
        for number, objects in enumerate(batch_objects):
            here = place[image == number]
            if not len(here):
                continue
            logits = self.mask_head.head(
                features[number],
                _objects({k: v[number, here] for k, v in fields.items()}),
                stride,
            )
            target = mask_targets(objects, self.mask_stride)
            target = target[matches[number, here]]
            for i, mask in enumerate(logits):
                mask = aligned_bilinear(mask[None], stride // self.mask_stride)
                dice = dice_loss(mask[0].sigmoid(), target)
                totals[i] = totals[i] + dice.sum()
        return {
            f'loss_mask_{i}': weight * total / max(len(image), 1)
            for i, (weight, total) in enumerate(zip(LOSS_WEIGHTS, totals))
        }

    def _extra_fields(
        self, points_init: list[Tensor], *more_outputs: list[Tensor]
    ) -> list[dict[str, Tensor]]:
        """Return parameters, centres and levels of all locations.

        The centre is the mean of the initial points, relative to the middle
        of the pixel of the location.
        """
        (params,) = more_outputs
        fields = []
        for level, (offsets, stride) in enumerate(
            zip(points_init, self.point_strides)
        ):
            height, width = offsets.shape[-2:]
            points = offsets.unflatten(1, (-1, 2))  # (B, points, 2, h, w)
            mean = points.mean(1).flip(1)  # (B, 2, h, w), x and y
            row = torch.arange(height, device=offsets.device)
            column = torch.arange(width, device=offsets.device)
            place = torch.stack(torch.meshgrid(column, row, indexing='xy'))
            fields.append(
                dict(
                    params=params[level],
                    centers=(mean + place) * stride + stride // 2,
                    levels=torch.full_like(offsets[:, :1], level),
                )
            )
        return fields

    def predict(
        self,
        x: Sequence[Tensor],
        batch_data_samples: SampleList,
        rescale: bool = False,
    ) -> InstanceList:
        """Return the detections of each image, with masks.

        Args:
            x: The pyramid, (B, channels, h, w) for each level.
            batch_data_samples: Data samples with the sizes of the images.
            rescale: If true, boxes and masks are in pixels of the file.

        Returns:
            `bboxes` (M, 4), `scores` and `labels` (M,), and `masks`, boolean,
            (M, height, width), of each image.
        """
        results = super().predict(x, batch_data_samples, rescale=rescale)
        features = self.mask_features(x)
        for detections, feature, sample in zip(
            results, features, batch_data_samples
        ):
            objects = pop_objects(detections)
            size = sample.ori_shape if rescale else sample.img_shape
            masks = detections.bboxes.new_zeros(
                (len(detections), *size[:2]), dtype=torch.bool
            )
            step = max(1, MAX_ELEMENTS // (size[0] * size[1]))
            for start in range(0, len(detections), step):
                part = slice(start, start + step)
                probabilities = self.mask_probabilities(
                    feature,
                    Objects(*(field[part] for field in objects)),
                    sample.img_shape[:2],
                    size[:2],
                )
                masks[part] = probabilities > self.test_cfg.mask_thr_binary
            detections.masks = masks
        return results

    def mask_features(self, x: Sequence[Tensor]) -> Tensor:
        """Return the features of pixels, (B, F, h, w), of a pyramid."""
        return self.mask_head.branch(x)

    def mask_probabilities(
        self,
        features: Tensor,
        objects: Objects,
        img_shape: Sequence[int],
        size: Sequence[int],
    ) -> Tensor:
        """Return the probability that each pixel belongs to an object.

        Args:
            features: Features of the pixels of an image, (F, h, w).
            objects: The M objects.
            img_shape: Height and width of the image without padding.
            size: Height and width of the result.

        Returns:
            Probabilities (M, *size).
        """
        if not len(objects.params):  # interpolation needs channels
            return features.new_zeros(0, *size)
        stride = self.point_strides[0]
        logits = self.mask_head.head(features, objects, stride)[-1]
        logits = aligned_bilinear(logits[None], stride // self.mask_stride)
        masks = aligned_bilinear(logits.sigmoid(), self.mask_stride)
        masks = masks[..., : img_shape[0], : img_shape[1]]
        return F.interpolate(
            masks, tuple(size), mode='bilinear', align_corners=False
        )[0]


def pop_objects(detections: InstanceData) -> Objects:
    """Remove the fields that only masks need, and return them."""
    return _objects(
        {
            name: detections.pop(name)
            for name in ('params', 'centers', 'levels')
        }
    )


def _objects(fields: dict[str, Tensor]) -> Objects:
    """Return the objects of locations, (M, K) for each field."""
    levels = fields['levels'][:, 0].long()
    return Objects(fields['params'], fields['centers'], levels)
