"""Skip training steps that are not finite, and stop a run that diverges."""

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NamedTuple, NoReturn

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor, nn

from swin_dense.checkpoints.finite import is_finite
from swin_dense.engine.nonfinite_origin import (
    can_repeat,
    find_origin,
    nonfinite_weights,
    tensors_of,
)
from swin_dense.engine.random_state import (
    RandomState,
    random_state,
    restore_random_state,
)
from swin_dense.registry import HOOKS
from swin_dense.wording import counted, first_few

# Key in mmengine's MessageHub, which is saved in checkpoints.
SKIPPED = 'skipped_steps'
_LOSS, _GRADIENT, _SCALE = range(3)
# What a person knows an item of a batch by, in data samples of the hosts.
_IDS = ('img_id', 'video_id')
_PATHS = ('img_path', 'filename', 'video_path', 'frame_dir')


_WHAT = {
    _LOSS: 'the loss is NaN or infinite',
    _GRADIENT: 'the gradient or its norm is NaN or infinite',
    _SCALE: 'the GradScaler fell below 1, since the gradient overflows at any '
    'scale',
}


class NonFiniteError(ValueError):
    """Training cannot go on: loss, gradient or weights are not finite."""


class _Step(NamedTuple):
    """A forward and backward pass that is to be repeated if it goes wrong."""

    batch: Any
    random: RandomState


class GuardedWrapper:
    """Replaces `backward` and `step` of an optimizer wrapper.

    The gradient is computed in any case, so that several processes stay in
    step; the optimizer is not called if loss or gradient is not finite in any
    of the processes.

    Attributes:
        wrapper: The optimizer wrapper.
        problem: Nature of the problem in the last step, None without one.
        ended: Whether the optimizer had its turn since `begin`.
        is_own: Whether this process had the problem.
    """

    def __init__(self, wrapper: OptimWrapper) -> None:
        self.wrapper: Any = wrapper
        self.problem: int | None = None
        self.ended = False
        self.is_own = False
        self._bad_losses: list[Tensor] = []
        self._backward: Callable = wrapper.backward
        self._step: Callable = wrapper.step

    def attach(self) -> None:
        """Guard the wrapper."""
        self.wrapper.backward = self._guarded_backward
        step = partial(self._guarded_step)
        # Schedules count the steps by a wrapper of this method.
        setattr(step, '_with_counter', True)  # noqa: B010
        self.wrapper.step = step

    def detach(self) -> None:
        """Give the wrapper its own methods back."""
        self.wrapper.backward = self._backward
        self.wrapper.step = self._step

    @property
    def scaler(self) -> Any:
        """The GradScaler in use, or None."""
        scaler = getattr(self.wrapper, 'loss_scaler', None)
        return scaler if scaler is not None and scaler.is_enabled() else None

    def _guarded_backward(self, loss: Tensor, **kwargs: Any) -> None:
        self.see_loss(loss)
        self._backward(loss, **kwargs)

    def _guarded_step(self, **kwargs: Any) -> None:
        self.end()
        if self.problem is not None:
            return
        self._step(**kwargs)
        # The scaler has skipped a step whose gradient overflows, and made its
        # scale smaller, as it should.
        if self.scaler is not None and self.scaler.get_scale() < 1:
            self.problem, self.is_own = _SCALE, True

    def see_loss(self, loss: Tensor) -> None:
        """Look at a loss; the result is read at the end of the step."""
        self._bad_losses.append(~torch.isfinite(loss.detach()).all())

    def end(self) -> None:
        """Look at the gradient, and find the problem of this step."""
        self.problem = self._find_problem()
        self.ended = True

    def _find_problem(self) -> int | None:
        """Return the problem of this step in any of the processes."""
        gradient = self._gradient_overflows()
        losses = [bad.to(gradient) for bad in self._bad_losses]
        bad_loss = torch.stack(losses).max() if losses else 0 * gradient
        flags = torch.stack([bad_loss, gradient])
        own = flags.tolist()
        everywhere = own
        if get_world_size() > 1:
            all_reduce(flags, 'max')
            everywhere = flags.tolist()
        if not any(everywhere):
            return None
        problem = _LOSS if everywhere[_LOSS] else _GRADIENT
        self.is_own = bool(own[problem])
        return problem

    def bad_passes(self) -> list[bool]:
        """Return whether the loss of each pass of the last step was bad."""
        return [bool(bad) for bad in self._bad_losses]

    def begin(self) -> None:
        """Forget the last step."""
        self.problem, self.ended, self.is_own = None, False, False
        self._bad_losses = []

    def _gradient_overflows(self) -> Tensor:
        """Return 1 if the norm of the gradient is NaN or infinite, else 0.

        A GradScaler checks the gradient by itself.
        """
        gradients = [
            parameter.grad
            for group in self.wrapper.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        if not gradients or self.scaler is not None:
            device = gradients[0].device if gradients else None
            return torch.zeros((), device=device)
        norm = torch.nn.utils.get_total_norm(gradients)
        return (~torch.isfinite(norm)).float()


@HOOKS.register_module()
class NonFiniteGuard(Hook):
    """Skips steps whose loss or gradient is NaN or infinite.

    Every runner of this package has this hook. A step that is not finite in
    any process is skipped in all: weights, buffers and the optimizer stay as
    they were, and the schedule goes on. The log names the iteration, the
    images, and the module in which NaN or infinity arose first, found by a
    second pass of the same batches with the same random numbers. The run
    stops with `NonFiniteError` when weights are not finite, or when more than
    `max_skips` of the last `within` steps were skipped. A gradient whose norm
    overflows counts as infinite. In mixed precision the GradScaler skips
    steps by itself; a scale below 1 counts as a step that was skipped.

    Args:
        max_skips: Number of steps that may be skipped. 0 stops at the first.
        within: Number of steps that `max_skips` is meant for.

    Attributes:
        last_step_is_finite: False after a step that was skipped.
        guarded: The optimizer wrappers of a training that runs.

    Raises:
        ValueError: If `max_skips` is negative or `within` not positive.
    """

    # After RuntimeInfoHook, which records the losses, and before all others.
    priority: Any = 20

    def __init__(self, max_skips: int = 5, within: int = 1000) -> None:
        for name, value, least in (
            ('max_skips', max_skips, 0),
            ('within', within, 1),
        ):
            if type(value) is not int or value < least:
                raise ValueError(
                    f'NonFiniteGuard: {name}={value!r} is not a number of '
                    f'steps; expected an integer of {least} or more'
                )
        self.max_skips = max_skips
        self.within = within
        self.last_step_is_finite = True
        self._last_good: str | None = None
        self.guarded: list[GuardedWrapper] = []
        self._steps: list[_Step] = []
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def before_train(self, runner: Runner) -> None:
        """Guard the optimizer wrappers."""
        wrapper: Any = runner.optim_wrapper
        wrappers = (
            list(wrapper.values())
            if isinstance(wrapper, OptimWrapperDict)
            else [wrapper]
        )
        self.guarded = [
            GuardedWrapper(inner)
            for inner in wrappers
            if isinstance(inner, OptimWrapper)
        ]
        for guarded in self.guarded:
            guarded.attach()
        self._steps = []
        self._buffers = [
            (buffer, buffer.clone())
            for buffer in _bare(runner.model).buffers()
            if buffer.is_floating_point() or buffer.numel() == 1
        ]

    def after_train(self, runner: Runner) -> None:
        """Check the weights, and say how many steps were skipped.

        Raises:
            NonFiniteError: If weights are not finite.
        """
        self._release()
        self._check_weights(runner)
        skipped = _skipped(runner)
        if skipped:
            runner.logger.warning(
                f'{counted(len(skipped), "step")} of {runner.iter} '
                f'{"was" if len(skipped) == 1 else "were"} skipped, since '
                'loss or gradient was not finite: iterations '
                f'{first_few(skipped, 10)}'
            )

    def before_val(self, runner: Runner) -> None:
        """Check the weights that are to be validated.

        Raises:
            NonFiniteError: If weights are not finite.
        """
        if self.guarded:
            self._check_weights(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Keep what a second pass of this step needs."""
        if not self._steps:
            for part in self.guarded:
                part.begin()
            for buffer, kept in self._buffers:
                kept.copy_(buffer)
        self._steps.append(_Step(data_batch, random_state()))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Report a step that was skipped.

        Raises:
            NonFiniteError: If the run cannot go on.
        """
        _forget(runner, outputs)
        if not self.guarded:  # DeepSpeed steps by itself
            self._check_loss(runner, outputs)
            self._steps = []
        elif any(part.ended for part in self.guarded):
            wrong = [p for p in self.guarded if p.problem is not None]
            self.last_step_is_finite = not wrong
            if wrong:
                self._report(runner, wrong[0])
            else:  # the weights of the newest checkpoint have proven good
                self._last_good = runner.message_hub.runtime_info.get(
                    'last_ckpt'
                )
            self._steps = []

    def _report(self, runner: Runner, part: GuardedWrapper) -> None:
        """Log a step that was skipped, or stop the run.

        Raises:
            NonFiniteError: If the run cannot go on.
        """
        if part.problem != _SCALE:
            self._restore_buffers()
        broken = nonfinite_weights(_bare(runner.model))
        origin = None if broken else self._find_origin(runner, part)
        own = (part.is_own, origin, self._names(part))
        # The cause may be in another process.
        everywhere = all_gather_object(own)
        culprits = [each for each in everywhere if each[0]] or everywhere
        origins = [each[1] for each in culprits if each[1]]
        names = [name for each in culprits for name in each[2]]
        if broken:
            cause = _sentence(_weights_text(broken))
        elif origins:
            cause = f'{_sentence(origins[0])}.'
        else:
            cause = (
                'A second pass of this batch is finite, so the cause is '
                'outside of the model: memory, drivers, or kernels that do '
                'not repeat themselves.'
            )
        skipped = [*_skipped(runner), runner.iter + 1]
        runner.message_hub.update_info(SKIPPED, skipped)
        recent = [
            step for step in skipped if step > runner.iter + 1 - self.within
        ]
        text = (
            f'iteration {runner.iter + 1}: {_WHAT[part.problem or _LOSS]}. '
            f'{cause} {_images(names)} {_settings(runner, part.wrapper)}'
        )
        if broken:
            self._stop(runner, text)
        if len(recent) > self.max_skips:
            self._stop(
                runner,
                f'{text} This was step number {len(recent)} to be skipped '
                f'within {self.within} steps; {self.max_skips} are allowed.',
            )
        runner.logger.warning(
            f'{_sentence(text)} The step is skipped: number {len(recent)} of '
            f'at most {self.max_skips} within {self.within} steps'
        )

    def _restore_buffers(self) -> None:
        """Undo what a pass did to statistics of norms."""
        for buffer, kept in self._buffers:
            buffer.copy_(kept)

    def _find_origin(self, runner: Runner, part: GuardedWrapper) -> str | None:
        """Repeat the passes of this step; return where it went wrong."""
        model: Any = _bare(runner.model)
        if not can_repeat(model):
            return 'where is unknown: the model has a train_step of its own'
        passes = [
            partial(_run_again, model, part.wrapper, step)
            for step in self._steps
        ]
        now = random_state()
        buffers = [(buffer, buffer.clone()) for buffer, _ in self._buffers]
        try:
            return find_origin(
                model,
                passes,
                backward=part.problem != _LOSS,
                scale=part.scaler.get_scale() if part.scaler else 1.0,
            )
        except RuntimeError as error:  # such as too little memory
            return f'where is unknown: a second pass failed ({error})'
        finally:
            restore_random_state(now)
            model.zero_grad(set_to_none=True)
            for buffer, kept in buffers:
                buffer.copy_(kept)

    def _names(self, part: GuardedWrapper) -> list[str]:
        """Return the images of the passes that went wrong."""
        bad = part.bad_passes()
        if part.problem != _LOSS or len(bad) != len(self._steps):
            bad = [True] * len(self._steps)
        return [
            name
            for step, is_bad in zip(self._steps, bad)
            if is_bad
            for name in _item_names(step.batch)
        ]

    def _check_loss(self, runner: Runner, outputs: Any) -> None:
        """Stop at a loss that is not finite, where steps are not guarded.

        Raises:
            NonFiniteError: If the loss is not finite in one of the processes.
        """
        loss = float((outputs or {}).get('loss', 0.0))
        bad = torch.tensor(float(not math.isfinite(loss)))
        if get_world_size() > 1:
            all_reduce(bad, 'max')
        if bad:
            self.last_step_is_finite = False
            names = [
                n for step in self._steps for n in _item_names(step.batch)
            ]
            self._stop(
                runner,
                f'iteration {runner.iter + 1}: {_WHAT[_LOSS]}. '
                f'{_images(names)}',
            )

    def _check_weights(self, runner: Runner) -> None:
        """Stop at weights that are not finite.

        Raises:
            NonFiniteError: If there are any.
        """
        broken = nonfinite_weights(_bare(runner.model))
        if broken:
            self._stop(
                runner, f'iteration {runner.iter}: {_weights_text(broken)}'
            )

    def _stop(self, runner: Runner, text: str) -> NoReturn:
        """Stop the run.

        Raises:
            NonFiniteError: Always.
        """
        self._release()
        good = self._last_good
        kept = (
            f'The checkpoint {good} is from before; load_from={good} starts '
            'from its weights.'
            if good
            else 'No checkpoint is from before.'
        )
        raise NonFiniteError(
            f'training has diverged at {text} {kept} Check these images, '
            'lower optim_wrapper.optimizer.lr, warm up for longer, or set '
            'optim_wrapper.clip_grad=dict(max_norm=1.0)'
        )

    def _release(self) -> None:
        for part in self.guarded:
            part.detach()
        self.guarded = []
        self._steps = []


def last_step_is_finite(runner: Runner) -> bool:
    """Return False if the last step of a run was skipped as not finite."""
    return all(
        hook.last_step_is_finite
        for hook in runner.hooks
        if isinstance(hook, NonFiniteGuard)
    )


def check_saved(
    checkpoint: Mapping[str, Any], filename: str, allowed: Sequence[str] = ()
) -> None:
    """Check that the weights and optimizer in a checkpoint are finite.

    Args:
        checkpoint: Content of the checkpoint.
        filename: Its name, for the message.
        allowed: Patterns of `fnmatch` for names of weights that may hold NaN
            or infinite values.

    Raises:
        NonFiniteError: If a tensor holds NaN or infinity.
    """
    broken = []
    for part in ('state_dict', 'ema_state_dict'):
        for name, value in checkpoint.get(part, {}).items():
            if isinstance(value, Tensor) and not is_finite(value):
                plain = name.removeprefix('module.')
                if not any(fnmatchcase(plain, each) for each in allowed):
                    broken.append(name)
    tensors = tensors_of(checkpoint.get('optimizer', {}))
    if not broken and not all(map(is_finite, tensors)):
        broken.append('the state of the optimizer')
    if broken:
        raise NonFiniteError(
            f'{filename} was not saved: training has diverged, and '
            f'{first_few(broken)} would hold NaN or infinity. Earlier '
            'checkpoints are intact. Lower optim_wrapper.optimizer.lr, warm '
            'up for longer, or set optim_wrapper.clip_grad=dict(max_norm=1.0)'
        )


def _bare(model: Any) -> nn.Module:
    while is_model_wrapper(model):
        model = model.module
    return model


def _skipped(runner: Runner) -> list[int]:
    """Return the iterations that were skipped, counted from 1."""
    return list(runner.message_hub.runtime_info.get(SKIPPED, []))


def _forget(runner: Runner, outputs: Any) -> None:
    """Leave values that are not finite out of the means in the log."""
    scalars = runner.message_hub.log_scalars
    for name in outputs or ():
        if f'train/{name}' in scalars:
            values, counts = scalars[f'train/{name}'].data
            if not math.isfinite(values[-1]):
                values[-1] = counts[-1] = 0


def _run_again(
    model: Any, wrapper: OptimWrapper, step: _Step
) -> Mapping[str, Any]:
    """Run a model on a batch with the random numbers of the first time."""
    restore_random_state(step.random)
    with wrapper.optim_context(model):
        batch = model.data_preprocessor(step.batch, True)
        return model._run_forward(batch, mode='loss')


def _item_names(batch: Any) -> list[str]:
    """Return ids and paths of the items of a batch, as far as it has them."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    names = []
    for sample in samples or ():
        info = getattr(sample, 'metainfo', {})
        known = [str(info[key]) for key in _IDS if key in info]
        paths = [str(info[key]) for key in _PATHS if info.get(key)]
        if known and paths:
            names.append(f'{known[0]} ({paths[0]})')
        elif known or paths:
            names.append((known or paths)[0])
    return names


def _images(names: list[str]) -> str:
    if not names:
        return 'The batch does not name its images.'
    return f'Images: {first_few(names, 16)}.'


def _weights_text(broken: list[str]) -> str:
    return (
        'since the last update, weights are NaN or infinite in '
        f'{counted(len(broken), "tensor")} ({first_few(broken, 3)}).'
    )


def _settings(runner: Runner, wrapper: OptimWrapper) -> str:
    """Return learning rate and type of numbers of a step."""
    rates = sorted(
        {rate for values in wrapper.get_lr().values() for rate in values}
    )
    lr = f'{rates[-1]:.3g}'
    if len(rates) > 1:
        lr = f'{rates[0]:.3g} to {lr}'
    dtype = next((p.dtype for p in runner.model.parameters()), torch.float32)
    if hasattr(wrapper, 'loss_scaler'):
        cast = getattr(wrapper, 'cast_dtype', None) or torch.float16
        dtype_text = f'{cast} by autocast'
    else:
        dtype_text = str(dtype)
    return f'Learning rate {lr}, {dtype_text.replace("torch.", "")}.'


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
