"""Let a training that is interrupted end as one that is not."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.engine.certificate import differences
from swin_dense.engine.placed_batches import seed_step
from swin_dense.engine.training_state import progress_of
from swin_dense.registry import HOOKS
from swin_dense.wording import counted

# Key of a checkpoint.
GRADIENTS = 'accumulated_gradients'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes each step a function of the seed and its number.

    Every runner of this package has this hook. All generators are seeded anew
    before each step, with the run's seed and the number of the step, so that
    dropout and the sampling of proposals are the same after resuming.
    Gradients that are accumulated when a checkpoint is saved are saved, too.
    """

    priority: Any = 'HIGHEST'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed the generators for this step."""
        number = runner.iter * get_world_size() + get_rank()
        seed_step(runner.seed or 0, number)

    def before_save_checkpoint(
        self, runner: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Add accumulated gradients, which `gather_gradients` has found."""
        if getattr(runner, 'accumulated_gradients', None):
            checkpoint[GRADIENTS] = runner.accumulated_gradients
        if getattr(runner, 'certificate', None):
            checkpoint['certificate'] = runner.certificate


def gather_gradients(model: Any, wrapper: Any) -> dict[str, Tensor]:
    """Return the gradients that wait for the next update, by parameter.

    All processes have to call this function. The result is the mean over them,
    which is what an update would use.

    Args:
        model: The model, wrapped or not.
        wrapper: The optimizer wrapper.
    """
    counts = getattr(wrapper, '_accumulative_counts', 1)
    if counts <= 1 or wrapper.should_update():
        return {}
    gradients = {}
    for name, parameter in _bare(model).named_parameters():
        if parameter.grad is not None:
            gradient = parameter.grad.detach().clone()
            if get_world_size() > 1:
                all_reduce(gradient, 'mean')
            gradients[name] = gradient.cpu()
    return gradients


def restore_gradients(
    model: Any,
    wrapper: Any,
    checkpoint: Mapping[str, Any],
    logger: Any,
    source: str = 'the checkpoint',
) -> None:
    """Put saved gradients into a model, for the rest of an accumulation.

    Args:
        model: The model, wrapped or not.
        wrapper: The optimizer wrapper.
        checkpoint: The checkpoint that is resumed.
        logger: Logger that is told if gradients are missing.
        source: Name of the checkpoint in errors.

    Raises:
        CheckpointError: If the gradients are not those of this model.
    """
    saved = checkpoint.get(GRADIENTS, {})
    parameters = dict(_bare(model).named_parameters())
    for name, gradient in saved.items():
        parameter = parameters.get(name)
        if (
            parameter is None
            or not isinstance(gradient, Tensor)
            or gradient.shape != parameter.shape
            or not bool(torch.isfinite(gradient).all())
        ):
            raise CheckpointError(
                f'{source} cannot be resumed from: its accumulated gradient '
                f'of {name} does not fit this model'
            )
        parameter.grad = gradient.to(parameter.device, parameter.dtype)
    counts = getattr(wrapper, '_accumulative_counts', 1)
    step = checkpoint['meta']['iter']
    if not saved and step % counts:
        logger.warning(
            f'The checkpoint was saved after {step} steps, in the middle of '
            f'an update of {counts}, without its gradients: that update is '
            f'made of {counts - step % counts} steps'
        )


def check_name(
    checkpoint: Mapping[str, Any], source: str, logger: Any
) -> None:
    """Warn if the name of a checkpoint contradicts its content.

    Args:
        checkpoint: The checkpoint that is resumed.
        source: Its path.
        logger: The logger.
    """
    epoch, step = progress_of(checkpoint)
    named = re.search(r'(iter|epoch)_(\d+)\.pth$', source)
    if named and int(named[2]) != (step if named[1] == 'iter' else epoch):
        logger.warning(
            f'{source} was saved after {step} iterations and {epoch} epochs, '
            'so its name is wrong; its content counts'
        )


def name_changes(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], logger: Any
) -> None:
    """Log what has changed since the run that saved a checkpoint.

    Args:
        old: Certificate in the checkpoint, None if it has none.
        new: Certificate of this run.
        logger: The logger.
    """
    if not isinstance(old, Mapping):
        logger.warning(
            'The checkpoint has no certificate, so it is not known whether '
            'config and data are those of its run'
        )
        return
    found = [
        entry
        for entry in differences(old, new)
        if not entry.name.startswith('start')
    ]
    if found:
        lines = '\n'.join(f'  {entry}' for entry in found)
        logger.warning(
            f'{counted(len(found), "difference")} to the run that saved the '
            'checkpoint, so that the result will not be that of either '
            f'run:\n{lines}\nOptimizer and schedules go on with the learning '
            'rates of the checkpoint'
        )


def _bare(model: Any) -> nn.Module:
    while is_model_wrapper(model):
        model = model.module
    return model
