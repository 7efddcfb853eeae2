"""Training a detector on both pyramids of a composite backbone (CBNetV2)."""

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

    CBNetV2 (arXiv 2107.00420, section 3.4): neck and heads, the same for
    both, see the pyramid of the lead and that of the assistant; losses of the
    latter have a weight below 1 and names that begin with `aux.`. Its RoI
    heads get the proposals of the lead. Predictions use the lead alone, as if
    there were no assistant.

    The heads decide which detector this is: with those of Mask R-CNN, Cascade
    Mask R-CNN or HTC, it is that one.

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
        """Losses of both branches.

        Args:
            batch_inputs: Images `(B, C, H, W)`.
            batch_data_samples: What there is to find in each.

        Returns:
            Those of the lead under mmdet's names; those of the assistant,
            weighted, under the same with `aux.` before them.
        """
        assistant, lead = [
            self.neck(maps) if self.with_neck else maps
            for maps in self.backbone.forward_both(batch_inputs)
        ]
        objects = deepcopy(batch_data_samples)
        for sample in objects:  # the RPN knows one class
            labels = sample.gt_instances.labels
            sample.gt_instances.labels = torch.zeros_like(labels)
        rpn_losses, proposals = self.rpn_head.loss_and_predict(
            lead,
            objects,
            proposal_cfg=self.train_cfg.get('rpn_proposal', self.test_cfg.rpn),
        )
        losses = self._together(
            rpn_losses, lead, proposals, batch_data_samples
        )
        helping = self._together(
            self.rpn_head.loss(assistant, objects),
            assistant,
            proposals,
            batch_data_samples,
        )
        for name, value in helping.items():
            losses[f'aux.{name}'] = (
                _weighted(value, self.assistant_loss_weight)
                if 'loss' in name
                else value
            )
        return losses

    def _together(
        self,
        rpn_losses: Losses,
        pyramid: tuple[Tensor, ...],
        proposals: list,
        samples: SampleList,
    ) -> Losses:
        """Losses of the RPN, under names of their own, and of RoI heads."""
        losses = {
            name if 'rpn' in name else f'rpn_{name}': value
            for name, value in rpn_losses.items()
        }
        # RoI heads rename what is in the proposals.
        proposals = [proposal.clone() for proposal in proposals]
        losses.update(self.roi_head.loss(pyramid, proposals, samples))
        return losses


def _weighted(loss: Any, weight: float) -> Any:
    """A loss, or one for each level, times a weight."""
    if isinstance(loss, (list, tuple)):
        return [level * weight for level in loss]
    return loss * weight
