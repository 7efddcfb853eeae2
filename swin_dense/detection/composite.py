"""Train a detector on both pyramids of a composite backbone (CBNetV2)."""

from copy import deepcopy
from typing import Any

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import SampleList
from torch import Tensor

from swin_dense.registry import MODELS

Losses = dict[str, Any]


@MODELS.register_module()
class CompositeRCNN(TwoStageDetector):
    """A two-stage detector whose training also supervises the assistant.

    As in CBNetV2 (arXiv 2107.00420, section 3.4), the same neck and heads are
    applied to the pyramid of the lead and to that of the assistant. The
    losses on the assistant's pyramid have a weight and names that begin with
    `aux.`. The RoI heads get the lead's proposals in both cases. Prediction
    uses the lead's pyramid only.

    The heads decide on the kind of detector: Mask R-CNN, Cascade Mask R-CNN
    or HTC.

    Args:
        assistant_loss_weight: Factor of the assistant's losses.

    Other arguments are those of mmdet's TwoStageDetector.

    Raises:
        ValueError: If the backbone is not composite, or there is no RPN.
    """

    def __init__(
        self, *args: Any, assistant_loss_weight: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not hasattr(self.backbone, 'forward_both'):
            raise ValueError(
                'CompositeRCNN needs a backbone of type '
                'swin_dense.CompositeBackbone, got '
                f'{type(self.backbone).__name__}: without an assistant, use '
                'MaskRCNN, CascadeRCNN or HybridTaskCascade'
            )
        if not self.with_rpn:
            raise ValueError(
                'CompositeRCNN needs an rpn_head, whose '
                'proposals both of its branches share'
            )
        self.assistant_loss_weight = assistant_loss_weight

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> Losses:
        """Compute the losses of both branches.

        Args:
            batch_inputs: Images `(B, C, H, W)`.
            batch_data_samples: Ground truth of each image.

        Returns:
            The lead's losses under mmdet's names, and the assistant's
            weighted losses under the same names with the prefix `aux.`.
        """
        assistant, lead = [
            self.neck(maps) if self.with_neck else maps
            for maps in self.backbone.forward_both(batch_inputs)
        ]
        objects = deepcopy(batch_data_samples)
        for sample in objects:  # the RPN has a single class
            labels = sample.gt_instances.labels
            sample.gt_instances.labels = torch.zeros_like(labels)
        rpn_losses, proposals = self.rpn_head.loss_and_predict(
            lead,
            objects,
            proposal_cfg=self.train_cfg.get('rpn_proposal', self.test_cfg.rpn),
        )
        losses = self._join_losses(
            rpn_losses, lead, proposals, batch_data_samples
        )
        assistant_losses = self._join_losses(
            self.rpn_head.loss(assistant, objects),
            assistant,
            proposals,
            batch_data_samples,
        )
        for name, value in assistant_losses.items():
            losses[f'aux.{name}'] = (
                _weighted(value, self.assistant_loss_weight)
                if 'loss' in name
                else value
            )
        return losses

    def _join_losses(
        self,
        rpn_losses: Losses,
        pyramid: tuple[Tensor, ...],
        proposals: list,
        samples: SampleList,
    ) -> Losses:
        """Return the losses of the RPN, as `rpn_*`, and of the RoI heads."""
        losses = {
            name if 'rpn' in name else f'rpn_{name}': value
            for name, value in rpn_losses.items()
        }
        # RoI heads rename the fields of proposals in place.
        proposals = [proposal.clone() for proposal in proposals]
        losses.update(self.roi_head.loss(pyramid, proposals, samples))
        return losses


def _weighted(loss: Any, weight: float) -> Any:
    """Return a loss, or a list of losses of all levels, times a weight."""
    if isinstance(loss, (list, tuple)):
        return [level * weight for level in loss]
    return loss * weight
