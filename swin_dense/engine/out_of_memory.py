"""Explain that memory ran out in a training step, or go on in parts.

PyTorch's error says how many bytes were missing. The image, the stage and
what would fit are more use to a person.
"""

import gc
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from swin_dense.engine.largest_batch import find_largest_batch, padded
from swin_dense.engine.memory_plan import (
    GIB,
    SAFE,
    available_memory,
    describe_size,
    make_plan,
    smaller_shape,
    state_per_byte,
    switches,
)
from swin_dense.engine.process_memory import free_memory, status
from swin_dense.engine.step_memory import predict
from swin_dense.engine.tasks import VIDEO, Task, find_task, task_of
from swin_dense.engine.worst_batch import BatchSize
from swin_dense.registry import HOOKS
from swin_dense.wording import counted

# What allocators say: CPU, CUDA, cuDNN and cuBLAS, Python.
_WORDS = re.compile(
    r"can't allocate memory|not enough memory|out of memory|"
    r'CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc|Unable to allocate',
    re.IGNORECASE,
)


class OutOfMemory(MemoryError, ValueError):
    """Memory ran out in a training step; the message says what would fit."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return True if an error says that memory ran out."""
    if isinstance(error, OutOfMemory):
        return False
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_WORDS.search(str(error)))


@HOOKS.register_module()
class MemoryHook(Hook):
    """Explains that memory ran out, and can go on with smaller steps.

    Every runner of this package has this hook.

    Args:
        plan: If true, the largest batch that data and augmentation can give
            is run forward and backward once before the first step, and the
            log says what fits.
        accumulate: If true, a batch that does not fit is split into equal
            parts, whose gradients are added up. All later batches are split,
            too. The update is that of the whole batch, except that norms
            see the parts. Only for one process: with several, others would
            wait for the process that repeats its step.
    """

    priority: Any = 'VERY_HIGH'

    def __init__(self, plan: bool = False, accumulate: bool = False) -> None:
        self.plan = plan
        self.accumulate = accumulate
        self._model: Any = None

    def before_train(self, runner: Any) -> None:
        """Watch the training steps, after a trial if it is asked for.

        Raises:
            OutOfMemory: If the largest batch does not fit.
            ValueError: If gradients are to be accumulated in several
                processes.
        """
        if self.accumulate and runner.world_size > 1:
            raise ValueError(
                '--accumulate-on-oom is for a single process, and this run '
                f'has {runner.world_size}: lower train_dataloader.batch_size'
            )
        if self.plan:
            check_memory(runner)
        self._model = runner.model
        step = _Step(runner, self._model.train_step, self.accumulate)
        self._model.train_step = step

    def after_train(self, runner: Any) -> None:
        """Watch no longer."""
        if self._model is not None:
            del self._model.train_step
            self._model = None


def check_memory(runner: Any) -> None:
    """Run the largest batch of a training once, and log what fits.

    Raises:
        OutOfMemory: If it does not fit.
        ValueError: If a transform is unknown that may change the size.
    """
    task = task_of(runner.cfg)
    size = find_largest_batch(runner.cfg, runner.train_loop.dataloader.dataset)
    optimizer = runner.cfg.optim_wrapper.optimizer
    # The state of a run that is resumed is there already.
    has_state = bool(runner.optim_wrapper.optimizer.state)
    model = _bare(runner.model)
    try:
        plan = make_plan(
            model,
            task,
            size,
            str(next(model.parameters()).device),
            0.0 if has_state else state_per_byte(optimizer),
            runs=True,
            lists_ways=False,
        )
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        stage = find_stage(error, model)
        detail = str(error).split('\n')[0]
    else:
        runner.logger.info(plan.describe())
        if plan.measured or plan.fits:
            return
        stage, detail = 'prediction', 'not run'
    _drop_gradients(model)
    remedies = _remedies(runner, task, size, state_per_byte(optimizer))
    raise OutOfMemory(
        f'the largest batch does not fit: {describe_size(size, task.unit)}, '
        f'{_dtype(model)}; memory ran out in the {stage} ({detail}). '
        f'{remedies}'
    )


class _Step:
    """The training step of a model, which may be done in parts."""

    def __init__(self, runner: Any, step: Any, accumulate: bool) -> None:
        self._runner = runner
        self._step = step
        self._accumulate = accumulate
        self.parts = 1

    def __deepcopy__(self, memo: Any) -> '_Step':
        """Stay one with the runner when the planner copies the model."""
        return self

    def __call__(self, data: Any, optim_wrapper: Any) -> Mapping[str, Any]:
        count = _length(data)
        while True:
            parts = _divisor(count, self.parts)
            try:
                return self._run(data, optim_wrapper, parts)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                stage = find_stage(error, _bare(self._runner.model))
                detail = str(error).split('\n')[0]
            # Outside of the block, where the error keeps the tensors alive.
            more = _divisor(count, parts + 1)
            can_split = stage != UPDATE and more > parts
            if not (self._accumulate and can_split):
                self._explain(data, optim_wrapper, stage, detail)
            _drop_gradients(self._runner.model)
            self.parts = more
            self._runner.logger.warning(
                f'iteration {self._runner.iter + 1}: memory ran out in the '
                f'{stage}, {describe_batch(data, self._task())}. From here '
                f'on a batch is run in {counted(more, "part")}, whose '
                'gradients are added up'
            )

    def _run(
        self, data: Any, optim_wrapper: Any, parts: int
    ) -> Mapping[str, Any]:
        if parts == 1:
            return self._step(data, optim_wrapper)
        logs = []
        with _more_accumulation(optim_wrapper, parts):
            for part in _split(data, parts):
                logs.append(self._step(part, optim_wrapper))
        return {
            name: sum(log[name] for log in logs) / parts for name in logs[0]
        }

    def _task(self) -> Task | None:
        return find_task(self._runner.cfg)

    def _explain(
        self, data: Any, optim_wrapper: Any, stage: str, detail: str
    ) -> NoReturn:
        """Raise an error that says what did not fit, and what would."""
        runner = self._runner
        _drop_gradients(runner.model)
        task = self._task()
        remedies = find_remedies(runner, data, optim_wrapper)
        raise OutOfMemory(
            f'iteration {runner.iter + 1}: memory ran out in the {stage}: '
            f'{describe_batch(data, task)}, {_dtype(runner.model)} '
            f'({detail}). {remedies}'
        ) from None


UPDATE = 'step of the optimizer'
BACKWARD = 'backward pass'


def find_stage(error: BaseException, model: nn.Module) -> str:
    """Return the part of a training step in which an error arose.

    The innermost module of the model whose code was running is named.
    """
    names = {id(module): name for name, module in model.named_modules()}
    stage = 'training step'
    for frame, _ in traceback.walk_tb(error.__traceback__):
        code, here = frame.f_code, frame.f_locals.get('self')
        if isinstance(here, torch.optim.Optimizer):
            return UPDATE
        if code.co_name == 'backward' and 'autograd' in code.co_filename:
            return BACKWARD
        name = names.get(id(here))
        if name:
            stage = f'forward pass of {name}'
        elif code.co_name == 'forward' and id(here) in names:
            stage = 'forward pass'
    return stage


def describe_batch(data: Any, task: Task | None = None) -> str:
    """Return the size and the objects of a batch as a loader gives it."""
    size = size_of(data, task)
    if size is None:
        return 'a batch of unknown size'
    unit = task.unit if task else 'images'
    objects = [
        len(getattr(sample, 'gt_instances', ()))
        for sample in data.get('data_samples') or ()
        if hasattr(sample, 'gt_instances')
    ]
    words = describe_size(size._replace(objects=0), unit)
    if objects:
        words += f', with {", ".join(map(str, objects))} objects'
    names = [
        str(path)
        for sample in data.get('data_samples') or ()
        for path in [getattr(sample, 'metainfo', {}).get('img_path')]
        if path
    ]
    if names:
        words += f' ({", ".join(names[:4])}{" ..." if names[4:] else ""})'
    return words


def size_of(data: Any, task: Task | None) -> BatchSize | None:
    """Return the size of a batch as a loader gives it, None if unknown."""
    inputs = data.get('inputs') if isinstance(data, Mapping) else None
    if not isinstance(inputs, (list, tuple, torch.Tensor)) or not len(inputs):
        return None
    if not all(isinstance(each, torch.Tensor) for each in inputs):
        return None
    height, width = (
        max(each.shape[axis] for each in inputs) for axis in (-2, -1)
    )
    clip: tuple[int, ...] = ()
    if task is VIDEO and inputs[0].dim() == 5:  # (V, 3, T, H, W)
        clip = (inputs[0].shape[0], inputs[0].shape[2])
    objects = [
        len(sample.gt_instances)
        for sample in data.get('data_samples') or ()
        if hasattr(sample, 'gt_instances')
    ]
    return BatchSize(
        len(inputs), (*clip, height, width), max(objects, default=0)
    )


def find_remedies(runner: Any, data: Any, optim_wrapper: Any) -> str:
    """Return a sentence with settings that fit by the prediction."""
    task = find_task(runner.cfg)
    size = size_of(data, task)
    if task is None or size is None:
        return _GENERAL
    preprocessor = runner.cfg.model.get('data_preprocessor') or {}
    height, width = size.shape[-2:]
    shape = padded((height, width), preprocessor)
    size = size._replace(shape=(*size.shape[:-2], *shape))
    optimizer = (runner.cfg.get('optim_wrapper') or {}).get('optimizer')
    try:
        return _remedies(runner, task, size, state_per_byte(optimizer))
    except Exception as error:  # a model that the planner cannot run
        return (
            f'{_GENERAL} (nothing could be predicted for this model: '
            f'{type(error).__name__}: {error})'
        )


_GENERAL = (
    'Less memory take: train_dataloader.batch_size lowered and '
    'optim_wrapper.accumulative_counts raised; '
    'model.backbone.with_cp=True; smaller images'
)


def _remedies(runner: Any, task: Task, size: BatchSize, state: float) -> str:
    free_memory()
    model = _bare(runner.model)
    device = str(next(model.parameters()).device)
    limit = available_memory(device)
    now = predict(model, task, size, state)
    process = 0
    if not device.startswith('cuda'):
        process = max(status('VmRSS') - now.weights - now.optimizer, 0)
    # What failed does not fit, whatever the prediction says.
    limit = int(SAFE * min(limit, now.total + process))
    found = []
    least = now.total + process
    for words, changed, change in _candidates(runner, model, size):
        needed = predict(model, task, changed, state, change).total + process
        least = min(least, needed)
        if needed <= limit:
            found.append(f'{words} ({needed / GIB:.2f} GiB)')
        if len(found) == 2:
            break
    have = f'{limit / GIB:.2f} GiB can be used'
    if not found:
        return (
            f'Predicted are {(now.total + process) / GIB:.2f} GiB, and {have}:'
            f' nothing that the planner tried fits, the least was '
            f'{least / GIB:.2f} GiB. Use smaller images, a smaller model, '
            'or another machine'
        )
    return (
        f'Predicted are {(now.total + process) / GIB:.2f} GiB, and {have}. '
        f'What fits: {"; or ".join(found)}'
    )


def _candidates(
    runner: Any, model: nn.Module, size: BatchSize
) -> Iterator[tuple[str, BatchSize, Any]]:
    """Yield words, size and change of the model for each way to save."""
    counts = (runner.cfg.get('optim_wrapper') or {}).get(
        'accumulative_counts', 1
    )
    ways = [*switches(model)]
    images = size.images
    part = images // 2
    halved = ''
    if part:
        halved = (
            f'train_dataloader.batch_size={part} '
            f'optim_wrapper.accumulative_counts={counts * images // part}'
        )
        yield (
            f'--cfg-options {halved}',
            size._replace(images=part),
            None,
        )
    for _, options, change in ways:
        yield f'--cfg-options {options}', size, change
    if halved and ways:
        _, options, change = ways[-1]
        yield (
            f'--cfg-options {halved} {options}',
            size._replace(images=part),
            change,
        )
    shape = size.shape
    for _ in range(4):
        shape = smaller_shape(shape)
        height, width = shape[-2:]
        yield (
            f'images of at most {height} x {width} pixels (the resizing in '
            'train_pipeline)',
            size._replace(shape=shape),
            None,
        )


def _drop_gradients(model: nn.Module) -> None:
    model.zero_grad(set_to_none=True)
    gc.collect()
    free_memory()


@contextmanager
def _more_accumulation(wrapper: Any, parts: int) -> Iterator[None]:
    """Let an optimizer wrapper count parts of batches instead of batches."""
    names = ('_accumulative_counts', '_inner_count', '_remainder_counts')
    most = wrapper._max_counts
    if most > 0:
        wrapper._max_counts = most * parts
    for name in names:
        setattr(wrapper, name, getattr(wrapper, name) * parts)
    try:
        yield
    finally:
        for name in names:
            setattr(wrapper, name, getattr(wrapper, name) // parts)
        wrapper._max_counts = most


def _length(data: Any) -> int:
    inputs = data.get('inputs') if isinstance(data, Mapping) else None
    return len(inputs) if isinstance(inputs, (list, torch.Tensor)) else 1


def _split(data: Mapping[str, Any], parts: int) -> Iterator[dict[str, Any]]:
    """Yield equal parts of a batch as a loader gives it."""
    count = _length(data)
    step = count // parts
    for start in range(0, count, step):
        yield {
            name: value[start : start + step]
            if isinstance(value, (Sequence, torch.Tensor))
            and not isinstance(value, str)
            and len(value) == count
            else value
            for name, value in data.items()
        }


def _divisor(count: int, least: int) -> int:
    """Return the smallest divisor of a number that is not below another.

    The number itself if there is none.
    """
    return next((n for n in range(least, count + 1) if count % n == 0), count)


def _dtype(model: nn.Module) -> str:
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    for device in ('cuda', 'cpu'):
        if torch.is_autocast_enabled(device):
            kind = torch.get_autocast_dtype(device)
    return str(kind).removeprefix('torch.')


def _bare(model: Any) -> nn.Module:
    while is_model_wrapper(model):
        model = model.module
    return model
