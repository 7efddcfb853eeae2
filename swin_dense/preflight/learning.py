"""Learn eight samples by heart on a small copy of the model."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed
from torch import nn

from swin_dense.preflight.results import (
    CheckFailedError,
    CheckSkippedError,
    Finding,
)
from swin_dense.preflight.samples import Samples, load_samples
from swin_dense.preflight.small_copy import small_models
from swin_dense.preflight.stages import (
    OF_PROPOSALS,
    Evidence,
    is_learnt,
    name_stage,
    rate_problem,
)
from swin_dense.preflight.weights import contrast

BETAS = (0.9, 0.95)
WARM_UP = 20  # steps
EVALUATE_EVERY = 40
SECONDS = 110.0
TRIAL_STEPS = 10


def check(context: Any) -> Finding:
    """Learn eight samples by heart; name the stage that fails.

    Raises:
        CheckFailedError: If they are not learnt.
        CheckSkippedError: If the time did not suffice to tell.
    """
    start = time.perf_counter()
    samples = prepared(context)
    tries: list[Evidence] = []
    # A model that learns nothing with the first rate starts anew with the
    # second.
    for rate, steps in context.specialist.TRIES:
        name, model = small_model(context, samples)
        tries.append(
            learn(
                context.specialist,
                model,
                samples.packed,
                rate=rate,
                seconds=SECONDS - (time.perf_counter() - start),
                steps=steps,
            )
        )
        if is_learnt(tries[-1].scores):
            break
    is_over = len(tries[-1].losses) == steps
    evidence = max(tries, key=lambda each: sum(each.scores.values()))
    done = sum(len(each.losses) for each in tries)
    shown = ', '.join(f'{k} {v:.3f}' for k, v in evidence.scores.items())
    values: dict[str, Any] = dict(copy=name, **vars(evidence))
    details = [
        f'copy of the model: {name}; {len(samples.packed)} '
        f'{context.task.unit}, {done} steps',
        *(f'{k}: {v:.3f}' for k, v in evidence.scores.items()),
        *(
            f'objects that {k} assigns: {v:.0%}'
            for k, v in evidence.assigned.items()
        ),
    ]
    if evidence.proposals is not None:
        details.append(
            f'objects that proposals cover: {evidence.proposals:.0%}'
        )
    if samples.left_out:
        details.append(
            'left out, since they change images at random: '
            + ', '.join(samples.left_out)
        )
    if is_learnt(evidence.scores):
        return Finding(
            f'learnt by heart in {done} steps: {shown}', details, values
        )
    if not is_over and math.isfinite(evidence.losses[-1]):
        # Only what no further step would change.
        evidence = replace(
            evidence,
            proposals=None,
            scores={},
            assigned={
                name: share
                for name, share in evidence.assigned.items()
                if OF_PROPOSALS not in name
            },
        )
    stage = name_stage(evidence)
    if stage:
        raise CheckFailedError(': '.join(stage), details, **values)
    raise CheckSkippedError(
        f'not decided: {SECONDS:.0f} seconds sufficed for {done} steps here '
        f'({shown})'
    )


def check_rate(context: Any) -> Finding:
    """Try the optimizer of the config for some steps on the small copy.

    Raises:
        CheckFailedError: If the loss grows or is not finite, or nothing
            moves.
    """
    samples = prepared(context)
    _, model = small_model(context, samples)
    settings = context.config.optim_wrapper
    try:
        wrapper: Any = build_optim_wrapper(model, settings)
    except Exception as error:
        raise CheckSkippedError(
            f'its optimizer is not for the small copy: {error}'
        ) from error
    before = weights_of(model)
    losses: list[float] = []
    batch = samples.packed[:4]
    for _ in range(TRIAL_STEPS):
        set_random_seed(0)
        loss = _loss(model, batch)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        wrapper.update_params(loss)
    change = change_of(model, before)
    rate = settings.optimizer.get('lr')
    problem = rate_problem(losses, change)
    values: dict[str, Any] = dict(losses=losses, change=change)
    if problem:
        raise CheckFailedError(f'learning rate {rate}: {problem}', **values)
    return Finding(
        f'{rate}: in {len(losses)} steps the loss went from {losses[0]:.2f} '
        f'to {losses[-1]:.2f}, weights changed by {change:.1%}',
        (),
        values,
    )


def prepared(context: Any) -> Samples:
    """Return the samples, loaded once.

    Raises:
        CheckSkippedError: If the model is of a kind that does not learn in
            minutes.
    """
    reason = context.specialist.too_slow(context.config.model)
    if reason:
        raise CheckSkippedError(reason)
    if context.samples is None:
        context.samples = load_samples(context)
    return context.samples


def small_model(context: Any, samples: Samples) -> tuple[str, Any]:
    """Return the smallest copy of the model that runs, and its name.

    Raises:
        Exception: The error of the last copy, if none runs.
    """
    special = context.specialist
    # Nothing but a detector depends on the size of objects.
    factor = (
        special.shrinkage(context) if hasattr(special, 'shrinkage') else 1.0
    )
    problem: Exception | None = None
    for name, settings in small_models(context.config.model, factor):
        settings = special.fit_to_samples(settings)
        set_random_seed(0)
        try:
            model: Any = MODELS.build(settings)
            model.init_weights()
            model.train()
            _loss(model, samples.packed[:2])
            return name, model
        except Exception as error:
            problem = error
    assert problem is not None
    raise problem


def learn(
    special: Any,
    model: Any,
    packed: list[dict[str, Any]],
    *,
    rate: float,
    seconds: float = SECONDS,
    steps: int,
    report: Callable[[int, dict[str, float]], None] = lambda *_: None,
) -> Evidence:
    """Train on samples until they are known by heart.

    Args:
        special: Module with the task's part: `measure`, and `watch` if the
            task assigns objects.
        model: A small model.
        packed: The samples.
        rate: Highest learning rate.
        seconds: Time at most.
        steps: Steps at most.
        report: Function that is called with step and scores.
    """
    start = time.perf_counter()
    evidence = Evidence()
    # A shorter memory than usual: the first gradients, of the shares of the
    # classes, are large, and would slow all that follow.
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=BETAS, weight_decay=0.01
    )
    before = weights_of(model)
    # Batch norm needs two samples.
    half = len(packed) // 2 if len(packed) >= 4 else len(packed)
    batches = [packed[:half], packed[half:] or packed]
    set_random_seed(0)
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group['lr'] = rate * schedule(step, steps)
        model.train()
        with ExitStack() as stack:
            is_watched = step == 1 or step % EVALUATE_EVERY == 0
            # Nothing but a detector assigns objects.
            if is_watched and hasattr(special, 'watch'):
                evidence.assigned = stack.enter_context(special.watch(model))
            loss = _loss(model, batches[step % 2])
        evidence.losses.append(float(loss.detach()))
        if not math.isfinite(evidence.losses[-1]):
            break
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        is_over = time.perf_counter() - start > seconds
        if step % EVALUATE_EVERY == 0 or step == steps or is_over:
            evidence.scores, evidence.proposals = special.measure(
                model, packed
            )
            report(step, evidence.scores)
            if is_learnt(evidence.scores) or is_over:
                break
    evidence.change = change_of(model, before)
    evidence.contrast = contrast_of(model, packed[:2])
    return evidence


def schedule(step: int, steps: int) -> float:
    """Return the factor of the learning rate: warm-up, then a cosine."""
    warm = min(1.0, step / WARM_UP)
    return warm * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)


def _loss(model: Any, batch: list[dict[str, Any]]) -> torch.Tensor:
    """Return the whole loss of a batch."""
    data = model.data_preprocessor(collate(batch), True)
    losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    return loss


def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a batch as the hosts' loaders do, with copies of the samples."""
    return dict(
        inputs=[sample['inputs'] for sample in batch],
        data_samples=deepcopy([sample['data_samples'] for sample in batch]),
    )


def weights_of(model: nn.Module) -> list[torch.Tensor]:
    """Return copies of the parameters of a model."""
    return [value.detach().clone() for value in model.parameters()]


def change_of(model: nn.Module, before: list[torch.Tensor]) -> float:
    """Return the norm of the change of all weights, relative to their norm."""
    change = sum(
        float((new.detach() - old).double().square().sum())
        for new, old in zip(model.parameters(), before)
    )
    size = sum(float(old.double().square().sum()) for old in before)
    return math.sqrt(change / max(size, 1e-12))


@torch.no_grad()
def contrast_of(model: Any, batch: list[dict[str, Any]]) -> float | None:
    """Return how much the features of two samples differ, relatively.

    None if there is one sample.
    """
    if len(batch) < 2:
        return None
    model.eval()
    inputs = model.data_preprocessor(collate(batch), False)['inputs']
    if inputs.ndim == 6:  # (B, N, C, T, H, W)
        inputs = inputs[:, 0]
    return contrast(model.backbone(inputs))
