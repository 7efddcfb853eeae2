"""The stages of a RoI head, one or several, behind one interface."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.models.roi_heads import (
    CascadeRoIHead,
    HybridTaskCascadeRoIHead,
    StandardRoIHead,
)
from mmdet.models.task_modules import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import InstanceData
from torch import Tensor

SUPPORTED = (
    'Soft Teacher works with two-stage detectors whose roi_head is a '
    'StandardRoIHead, CascadeRoIHead or HybridTaskCascadeRoIHead (Faster, '
    'Mask and Cascade R-CNN, HTC), and whose box heads end in a softmax'
)


class RoIStage:
    """A stage of a RoI head.

    Args:
        head: The RoI head.
        index: Number of the stage; None if the head has only one.

    Attributes:
        bbox_head: Box head of the stage.
        weight: Factor of the losses of the stage.
        train_cfg: Settings of the stage for training.
    """

    def __init__(self, head: Any, index: int | None) -> None:
        self.head = head
        self.index = index
        if index is None:
            self.bbox_head = head.bbox_head
            self.assigner = head.bbox_assigner
            self.sampler = head.bbox_sampler
            self.train_cfg = head.train_cfg
            self.weight = 1.0
            self.arguments: tuple = ()
        else:
            self.bbox_head = head.bbox_head[index]
            self.assigner = head.bbox_assigner[index]
            self.sampler = head.bbox_sampler[index]
            self.train_cfg = head.train_cfg[index]
            self.weight = head.stage_loss_weights[index]
            self.arguments = (index,)

    def name(self, loss: str) -> str:
        """Return the name of a loss of this stage, as in mmdet."""
        return loss if self.index is None else f's{self.index}.{loss}'

    def sample(
        self,
        x: Sequence[Tensor],
        proposals: Sequence[Tensor],
        truths: Sequence[InstanceData],
        ignored: Sequence[InstanceData],
    ) -> list[SamplingResult]:
        """Assign proposals to objects and draw those to learn from.

        Args:
            x: Pyramid of maps `(B, C, H_i, W_i)`.
            proposals: Boxes `(n, 4)` of each image.
            truths: Objects of each image.
            ignored: Objects of each image that are left out.
        """
        if self.index is not None:
            self.head.current_stage = self.index
        results = []
        for i, boxes in enumerate(proposals):
            priors = InstanceData(priors=boxes)
            assigned = self.assigner.assign(priors, truths[i], ignored[i])
            features = [level[i][None] for level in x]
            results.append(
                self.sampler.sample(
                    assigned, priors, truths[i], feats=features
                )
            )
        return results

    def run(
        self, x: Sequence[Tensor], rois: Tensor, semantic: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return class scores and box offsets of RoIs, see mmdet.

        Args:
            x: Pyramid of maps `(B, C, H_i, W_i)`.
            rois: Number of the image and box `(n, 5)`.
            semantic: Result of `semantic_features`.
        """
        results = self.head._bbox_forward(*self.arguments, x, rois, **semantic)
        return dict(results, rois=rois)

    def refine(
        self,
        sampled: list[SamplingResult],
        results: dict[str, Any],
        targets: tuple[Tensor, ...],
        metas: list[dict],
    ) -> list[Tensor] | None:
        """Return the boxes of each image for the next stage.

        Args:
            sampled: Result of `sample`.
            results: Result of `run` for the sampled boxes.
            targets: Targets of the box head for them.
            metas: Information on each image.

        Returns:
            Boxes `(n, 4)` of each image, without the true boxes among the
            proposals; None if there are none at all.
        """
        refined = self.bbox_head.refine_bboxes(
            sampled, dict(results, bbox_targets=targets), metas
        )
        if refined is None:
            return None
        return [instances.bboxes.detach() for instances in refined]

    def mask_losses(
        self,
        x: Sequence[Tensor],
        sampled: list[SamplingResult],
        results: dict[str, Tensor],
        truths: Sequence[InstanceData],
        semantic: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the losses of the mask head of this stage.

        Args:
            x: Pyramid of maps `(B, C, H_i, W_i)`.
            sampled: Result of `sample`.
            results: Result of `run` for the sampled boxes.
            truths: Objects of each image, with masks.
            semantic: Result of `semantic_features`.
        """
        if self.index is None:
            losses = self.head.mask_loss(
                x, sampled, results['bbox_feats'], truths
            )
        else:
            losses = self.head.mask_loss(
                self.index, x, sampled, truths, **semantic
            )
        return losses['loss_mask']


def roi_stages(head: Any) -> Iterator[RoIStage]:
    """Yield the stages of a RoI head from the first to the last."""
    if isinstance(head, CascadeRoIHead):
        for index in range(head.num_stages):
            yield RoIStage(head, index)
    else:
        yield RoIStage(head, None)


def semantic_features(head: Any, x: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the features of HTC's semantic branch, for keyword arguments.

    Args:
        head: The RoI head.
        x: Pyramid of maps `(B, C, H_i, W_i)`.

    Returns:
        A dictionary of one feature map, or an empty one without the branch.
    """
    if isinstance(head, HybridTaskCascadeRoIHead) and head.with_semantic:
        return dict(semantic_feat=head.semantic_head(x)[1])
    return {}


def check_roi_head(head: Any) -> None:
    """Check that Soft Teacher can train a RoI head.

    Raises:
        ValueError: If it cannot.
    """
    if not isinstance(head, StandardRoIHead | CascadeRoIHead):
        raise ValueError(f'roi_head is {type(head).__name__}. {SUPPORTED}')
    for stage in roi_stages(head):
        loss = stage.bbox_head.loss_cls
        if getattr(loss, 'use_sigmoid', False) or getattr(
            loss, 'custom_activation', False
        ):
            raise ValueError(
                f'the box head has {type(loss).__name__} for its classes, '
                f'without a class for the background. {SUPPORTED}'
            )


def rois_of(sampled: Sequence[SamplingResult]) -> Tensor:
    """Return the drawn boxes as RoIs `(n, 5)`."""
    return bbox2roi([result.priors for result in sampled])
