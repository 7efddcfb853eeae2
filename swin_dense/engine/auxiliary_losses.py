"""Add the auxiliary losses of experts to the losses of a host's model."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from swin_dense.backbones.swin_moe import SwinMoE, take_auxiliary_loss
from swin_dense.registry import HOOKS

# `parse_losses` of mmengine adds up all entries with `loss` in their name.
LOSS_NAME = 'loss_experts'


def add_auxiliary_losses(model: nn.Module) -> None:
    """Let a model return the auxiliary losses of its experts as a loss.

    The dictionary of losses that `model(..., mode='loss')` returns gets an
    entry `loss_experts`. Models without experts stay as they are. A second
    call changes nothing.

    Args:
        model: A detector, segmentor or classifier of an OpenMMLab host.
    """
    while is_model_wrapper(model):
        model = model.module  # type: ignore[assignment]
    has_experts = any(isinstance(m, SwinMoE) for m in model.modules())
    if has_experts and _add_loss not in model._forward_hooks.values():
        model.register_forward_pre_hook(_forget_losses)
        model.register_forward_hook(_add_loss)


def _forget_losses(model: nn.Module, inputs: Any) -> None:
    """Drop the auxiliary losses of earlier passes that were not used."""
    take_auxiliary_loss(model)


def _add_loss(model: nn.Module, inputs: Any, losses: Any) -> None:
    """Add the auxiliary loss to the losses of a pass, if it has some."""
    if isinstance(losses, dict):
        loss = take_auxiliary_loss(model)
        if loss is not None:
            losses[LOSS_NAME] = loss


@HOOKS.register_module()
class AuxiliaryLossHook(Hook):
    """Call `add_auxiliary_losses` before training.

    `DenseRunner` needs no such hook. Other runners of mmengine do, for models
    with a `SwinMoE`.
    """

    def before_train(self, runner: Any) -> None:
        """Add the losses to the runner's model."""
        add_auxiliary_losses(runner.model)
