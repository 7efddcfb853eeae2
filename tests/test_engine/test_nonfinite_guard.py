"""Steps that are not finite are skipped, named, and end the run in time."""

import contextlib
import logging
import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.structures import BaseDataElement
from torch import nn

from helpers import training
from helpers.saved_runs import names
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.nonfinite_guard import (
    NonFiniteError,
    NonFiniteGuard,
    _images,
    _item_names,
    check_saved,
)

PLAIN = dict(
    param_scheduler=None, optim_wrapper=dict(optimizer=dict(type='SGD', lr=0))
)


class Broken(torch.autograd.Function):
    """The identity, with a gradient of NaN or infinity."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.value, None


class BrokenLayer(nn.Module):
    """A layer that breaks forward or backward passes in chosen batches."""

    def __init__(self):
        super().__init__()
        self.bad = {}  # kind by number of the batch, counted from 1
        self.seen = []  # a second pass is of the same batch

    def forward(self, x):
        batch = x.detach().double().sum().item()
        if batch not in self.seen:
            self.seen.append(batch)
        kind = self.bad.get(self.seen.index(batch) + 1)
        if kind == 'forward':
            return x * float('nan')
        if kind == 'backward':
            return Broken.apply(x, float('inf'))
        return x


class BrokenLine(training.Line):
    """A small network with a layer that may break."""

    def __init__(self, bad):
        super().__init__()
        self.breaker = BrokenLayer()
        self.breaker.bad = bad
        self.layers.insert(1, self.breaker)


def runner(folder, bad, **kwargs):
    """Return a runner of a network that breaks in some batches."""
    torch.manual_seed(1)
    return training.runner(
        folder, model=BrokenLine(bad), **{'checkpoint': {}, **kwargs}
    )


@pytest.fixture
def watch(caplog):
    """Return a function that captures what a runner logs."""
    loggers = []

    def capture(run):
        loggers.append(run.logger)
        run.logger.addHandler(caplog.handler)
        caplog.set_level(logging.WARNING)
        return run

    yield capture
    for logger in loggers:
        logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(
    'kind, what, where',
    [
        (
            'forward',
            'the loss is NaN or infinite',
            'NaN first in the output of layers.1 (BrokenLayer), float32, '
            'shape (8, 8)',
        ),
        (
            'backward',
            'the gradient or its norm is NaN or infinite',
            'Infinity first in the backward pass of layers.1 (BrokenLayer)',
        ),
    ],
)
def test_a_bad_step_is_skipped_and_named(
    kind, what, where, tmp_path, watch, caplog
):
    states = []
    run = watch(runner(tmp_path, {4: kind, 9: kind}))

    class Record(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            state = runner.model.state_dict()
            states.append({k: v.clone() for k, v in state.items()})

    run.register_hook(Record())
    run.train()
    for number, (before, after) in enumerate(zip(states, states[1:]), 2):
        same = all(torch.equal(before[name], after[name]) for name in before)
        assert same == (number in (4, 9))
    text = caplog.text.replace('\n', ' ')
    assert f'Iteration 4: {what}' in text
    assert where.lower() in text.lower()
    assert 'Learning rate' in text and 'float32.' in text
    assert 'number 1 of at most 5 within 1000 steps' in text
    assert 'number 2 of at most 5 within 1000 steps' in text
    assert '2 steps of 20 were skipped' in text
    assert 'iterations 4, 9' in text
    hub = read_checkpoint(tmp_path / 'iter_20.pth')['message_hub']
    assert hub['runtime_info']['skipped_steps'] == [4, 9]
    losses = hub['log_scalars']['train/loss'].data[0]
    assert all(loss == loss for loss in losses)


def test_a_skipped_step_changes_nothing_else(tmp_path):
    """The random numbers of later steps stay the same."""
    seed = dict(randomness=dict(seed=0))
    whole = runner(tmp_path / 'whole', {}, **seed)
    whole.train()
    state = torch.get_rng_state()
    broken = runner(tmp_path / 'broken', {3: 'forward'}, **seed)
    broken.train()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize('kind', ['forward', 'backward'])
def test_too_many_skips_end_the_run(kind, tmp_path):
    bad = dict.fromkeys(range(7, 30), kind)
    run = runner(tmp_path, bad)
    with pytest.raises(NonFiniteError) as error:
        run.train()
    text = str(error.value)
    assert text.startswith('training has diverged at iteration 12: ')
    assert 'step number 6 to be skipped within 1000 steps' in text
    assert 'layers.1 (BrokenLayer)' in text
    # The checkpoint from before stays, beside the one saved in between.
    assert names(tmp_path) == ['iter_10.pth', 'iter_5.pth']
    assert f'load_from={tmp_path}/iter_5.pth' in text


def test_the_limits_can_be_set(tmp_path):
    hook = dict(type='swin_dense.NonFiniteGuard', max_skips=0)
    run = runner(tmp_path, {3: 'forward'}, custom_hooks=[hook])
    assert sum(isinstance(h, NonFiniteGuard) for h in run.hooks) == 1
    with pytest.raises(NonFiniteError, match='at iteration 3: .*0 are allow'):
        run.train()
    hook = dict(type='swin_dense.NonFiniteGuard', max_skips=2, within=4)
    bad = dict.fromkeys((3, 5, 8, 9, 12, 15, 18), 'forward')
    run = runner(tmp_path / 'spread', bad, custom_hooks=[hook])
    run.train()
    with pytest.raises(ValueError, match='max_skips=-1 is not a number of'):
        NonFiniteGuard(max_skips=-1)
    with pytest.raises(ValueError, match='within=0.5 is not a number of'):
        NonFiniteGuard(within=0.5)


def test_the_count_goes_on_after_resuming(tmp_path):
    bad = dict.fromkeys((2, 4), 'forward')
    run = runner(tmp_path, bad, checkpoint=dict(max_keep_ckpts=-1))
    run.train()
    for number in (10, 15, 20):
        (tmp_path / f'iter_{number}.pth').unlink()
    hook = dict(type='swin_dense.NonFiniteGuard', max_skips=2)
    bad = dict.fromkeys((2,), 'forward')
    run = runner(tmp_path, bad, custom_hooks=[hook], resume=True)
    with pytest.raises(NonFiniteError, match='iteration 7: .*number 3 to be'):
        run.train()


def test_accumulated_gradients_are_skipped_together(tmp_path, watch, caplog):
    run = watch(
        runner(
            tmp_path,
            {3: 'forward', 10: 'backward'},
            optim_wrapper=dict(
                accumulative_counts=2, optimizer=dict(type='SGD', lr=0.01)
            ),
        )
    )
    run.train()
    assert 'Iteration 4: the loss is' in caplog.text
    assert 'Iteration 10: the gradient' in caplog.text
    assert caplog.text.count('The step is skipped') == 2
    saved = read_checkpoint(tmp_path / 'iter_20.pth')
    check_saved(saved, 'iter_20.pth')


def test_weights_that_are_not_finite_end_the_run(tmp_path):
    run = runner(tmp_path, {}, **PLAIN)

    class Ruin(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 7:
                with torch.no_grad():
                    runner.model.layers[0].weight[0, 0] = float('inf')

    run.register_hook(Ruin(), priority='HIGHEST')
    with pytest.raises(NonFiniteError) as error:
        run.train()
    assert (
        'iteration 9: the loss is NaN or infinite. Since the last update, '
        'weights are NaN or infinite in 1 tensor (layers.0.weight).'
    ) in str(error.value)
    assert names(tmp_path) == ['iter_5.pth']


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    run = runner(tmp_path, {}, **PLAIN)

    class Ruin(Hook):
        def after_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 9:
                with torch.no_grad():
                    runner.model.layers[4].bias.fill_(float('nan'))

    run.register_hook(Ruin(), priority='HIGHEST')
    with pytest.raises(NonFiniteError, match='iter_10.pth was not saved: '):
        run.train()
    assert names(tmp_path) == ['iter_5.pth']
    assert not list(tmp_path.glob('.*.partial'))
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_5.pth')


@pytest.mark.parametrize(
    'part, name', [('ema_state_dict', 'module.a'), ('optimizer', 'exp_avg')]
)
def test_all_parts_of_a_checkpoint_are_checked(part, name):
    good = dict(state_dict=dict(a=torch.ones(2)))
    check_saved(good, 'x.pth')
    bad = {**good, part: {name: torch.tensor([1.0, float('nan')])}}
    with pytest.raises(NonFiniteError, match='x.pth was not saved'):
        check_saved(bad, 'x.pth')
    check_saved(dict(state_dict=bad.get(part)), 'x.pth', ['a', 'exp_*'])


def amp_wrapper(optimizer, monkeypatch, scale):
    """Return a wrapper in mixed precision, on the CPU."""
    module = sys.modules[AmpOptimWrapper.__module__]
    monkeypatch.setattr(module, 'is_cuda_available', lambda: True)
    wrapper = AmpOptimWrapper(optimizer=optimizer, dtype='bfloat16')
    wrapper.loss_scaler = torch.amp.GradScaler('cpu', init_scale=scale)
    return wrapper


def test_gradscaler_below_one_counts(tmp_path, monkeypatch, watch, caplog):
    bad = dict.fromkeys(range(3, 30), 'backward')
    run = watch(runner(tmp_path, bad))
    model = run.model
    run.optim_wrapper = amp_wrapper(
        torch.optim.SGD(model.parameters(), 0.01), monkeypatch, scale=8.0
    )
    run.param_schedulers = None
    with pytest.raises(NonFiniteError) as error:
        run.train()
    # Halved in steps 3 to 6, and 0.5 at the end of step 6.
    text = str(error.value)
    assert 'Iteration 6: the GradScaler fell below 1' in caplog.text
    assert 'at iteration 11: the GradScaler fell below 1' in text
    assert 'in the backward pass of layers.1 (BrokenLayer)' in text
    assert 'bfloat16 by autocast' in text


def test_a_loss_that_is_not_finite_skips_in_mixed_precision(
    tmp_path, monkeypatch, watch, caplog
):
    run = watch(runner(tmp_path, {4: 'forward'}))
    run.optim_wrapper = amp_wrapper(
        torch.optim.SGD(run.model.parameters(), 0.01), monkeypatch, 1024.0
    )
    run.param_schedulers = None
    run.train()
    assert 'Iteration 4: the loss is NaN or infinite' in caplog.text
    assert run.optim_wrapper.loss_scaler.get_scale() == 1024.0


def test_images_are_named():
    samples = [
        BaseDataElement(metainfo=dict(img_id=7, img_path='a/7.jpg')),
        BaseDataElement(metainfo=dict(img_path='b.png')),
        BaseDataElement(metainfo=dict(video_id='v1')),
        BaseDataElement(),
    ]
    found = _item_names(dict(inputs=[], data_samples=samples))
    assert found == ['7 (a/7.jpg)', 'b.png', 'v1']
    assert _images(found) == 'Images: 7 (a/7.jpg), b.png, v1.'
    assert _item_names([1, 2]) == []
    assert _images([]) == 'The batch does not name its images.'


def work(rank, port, folder):
    """Train in one of two processes, of which the second meets a NaN."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    os.environ.update(
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), LOCAL_RANK=str(rank)
    )
    dist.init_process_group('gloo', rank=rank, world_size=2)
    bad = {4: 'forward', 6: 'backward'} if rank else {}
    run = runner(
        folder,
        bad,
        launcher='pytorch',
        cfg=dict(
            model_wrapper_cfg=dict(
                type='MMDistributedDataParallel',
                broadcast_buffers=False,
                device_ids=None,
            )
        ),
    )
    with contextlib.suppress(NonFiniteError):
        run.train()
    torch.save(
        {
            name: value
            for name, value in run.model.module.state_dict().items()
            if 'running' not in name
        },
        folder / f'{rank}.pth',
    )
    if rank == 0:
        skipped = run.message_hub.get_info('skipped_steps')
        (folder / 'skipped.txt').write_text(repr(skipped))
    dist.destroy_process_group()


@pytest.mark.skipif(
    not dist.is_available()
    or not dist.is_gloo_available()
    or torch.cuda.is_available(),
    reason='compares CPU processes',
)
def test_all_processes_skip_the_same_step(tmp_path):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, tmp_path), nprocs=2)
    first, second = (
        torch.load(tmp_path / f'{rank}.pth', weights_only=True)
        for rank in (0, 1)
    )
    for name, value in first.items():
        assert torch.isfinite(value).all()
        assert torch.equal(value, second[name]), name
    assert (tmp_path / 'skipped.txt').read_text() == '[4, 6]'
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'NaN first in the output of layers.1 (BrokenLayer)' in log
