"""A training that was interrupted ends as one that was not, bit by bit."""

import socket
import subprocess
import sys

import pytest
import torch

from helpers import command_line, noisy_training
from helpers.command_line import CONFIG
from helpers.noisy_training import Interrupted, runner
from helpers.saved_runs import assert_same_state, changed
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint

# Whole and interrupted runs have the same seed.
SEED = dict(randomness=dict(seed=5))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Return a function that gives the folder of a whole run of a kind."""
    folders = {}

    def train(kind, **kwargs):
        key = kind, *kwargs
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp(kind)
            runner(folders[key], kind, **SEED, **kwargs).train()
        return folders[key] / 'iter_20.pth'

    return train


@pytest.mark.parametrize('kind', ['iterations', 'passes', 'epochs'])
@pytest.mark.parametrize(
    'stop',
    [
        (2, 'after_train_iter'),  # before the first checkpoint
        (9, 'before_save_checkpoint'),
        (9, 'after_train_iter'),  # right after a checkpoint
        (12, 'before_train_iter'),
        (19, 'after_train_iter'),  # at the end
    ],
    ids=lambda stop: '-'.join(map(str, stop)),
)
def test_runs_end_alike(kind, stop, whole, tmp_path):
    reference = whole(kind)
    run = runner(tmp_path, kind, stop=stop, **SEED)
    with pytest.raises(Interrupted):
        run.train()
    # Other programs draw random numbers, too.
    torch.rand(7)
    # The seed is in the checkpoint, if there is one.
    seed = SEED if stop[0] == 2 else {}
    runner(tmp_path, kind, resume=True, **seed).train()
    assert_same_state(tmp_path / 'iter_20.pth', reference)


@pytest.mark.parametrize('kind', ['iterations', 'epochs'])
def test_nothing_is_read_twice(kind, tmp_path):
    run = runner(tmp_path / 'whole', kind, **SEED)
    run.train()
    expected = run.train_dataloader.dataset.read
    assert len(expected) == 20 * 8
    first = runner(
        tmp_path / 'cut',
        kind,
        stop=(11, 'after_train_iter'),
        **SEED,
    )
    with pytest.raises(Interrupted):
        first.train()
    again = runner(tmp_path / 'cut', kind, resume=True)
    again.train()
    assert again.train_dataloader.dataset.read == expected[10 * 8 :]


def test_workers_change_nothing(tmp_path):
    """Samples are the same, whichever process prepares them."""
    for workers in (0, 2):
        runner(tmp_path / str(workers), workers=workers, **SEED).train()
    one, two = (tmp_path / name / 'iter_20.pth' for name in '02')
    assert_same_state(one, two)
    (tmp_path / '2' / 'iter_20.pth').unlink()
    (tmp_path / '2' / 'last_checkpoint').unlink()
    runner(tmp_path / '2', workers=1, resume=True).train()
    assert_same_state(one, two)


def test_accumulated_gradients_are_resumed(whole, tmp_path):
    accumulate = dict(
        optim_wrapper=dict(
            accumulative_counts=2, optimizer=dict(type='SGD', lr=0.01)
        )
    )
    reference = whole('iterations', **accumulate)
    run = runner(tmp_path, stop=(6, 'after_train_iter'), **SEED, **accumulate)
    with pytest.raises(Interrupted):
        run.train()
    saved = read_checkpoint(tmp_path / 'iter_5.pth')
    names = set(saved['accumulated_gradients'])
    assert 'layers.0.weight' in names
    runner(tmp_path, resume=True, **accumulate).train()
    assert_same_state(tmp_path / 'iter_20.pth', reference)
    assert 'accumulated_gradients' not in read_checkpoint(reference)

    wrong = changed(
        saved, ('accumulated_gradients', 'layers.0.weight'), torch.ones(3)
    )
    torch.save(wrong, tmp_path / 'wrong.pth')
    run = runner(
        tmp_path / 'x',
        resume=True,
        load_from=str(tmp_path / 'wrong.pth'),
        **accumulate,
    )
    with pytest.raises(CheckpointError, match='accumulated gradient of lay'):
        run.train()


def test_the_seed_of_the_run_is_kept(tmp_path):
    run = runner(tmp_path, stop=(7, 'after_train_iter'))
    with pytest.raises(Interrupted):
        run.train()
    again = runner(tmp_path, resume=True, randomness=dict(seed=12345))
    assert again.seed == 12345 != run.seed
    again.train()
    assert again.seed == run.seed
    assert again.train_dataloader.sampler.seed == run.seed


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares CPU processes')
def test_two_processes_end_alike(tmp_path):
    def train(folder, stop):
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        arguments = [sys.executable, noisy_training.__file__, folder]
        processes = [
            subprocess.Popen([*arguments, str(rank), str(port), str(stop)])
            for rank in (0, 1)
        ]
        assert [process.wait(300) for process in processes] == [0, 0]

    (tmp_path / 'cut').mkdir()
    train(tmp_path / 'whole', -1)
    seed = read_checkpoint(tmp_path / 'whole' / 'iter_5.pth')['meta']['seed']
    assert type(seed) is int
    # The same first five steps, then other seven, of which two are lost.
    content = (tmp_path / 'whole' / 'iter_5.pth').read_bytes()
    (tmp_path / 'cut' / 'iter_5.pth').write_bytes(content)
    train(tmp_path / 'cut', 12)
    assert (tmp_path / 'cut' / 'iter_10.pth').exists()
    train(tmp_path / 'cut', -1)
    assert_same_state(
        tmp_path / 'cut' / 'iter_20.pth', tmp_path / 'whole' / 'iter_20.pth'
    )


def resume_from(saved, path, **kwargs):
    """Write a checkpoint, and return a runner that resumes from it."""
    path.parent.mkdir(exist_ok=True)
    torch.save(saved, path)
    return runner(
        path.parent / 'work', resume=True, load_from=str(path), **kwargs
    )


@pytest.mark.parametrize(
    'path, value, message',
    [
        (('param_schedulers',), ..., 'no schedules of the learning rate, and'),
        (('meta', 'iter'), -5, 'its iter is -5, expected a count'),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_go_on_is_refused(path, value, message, whole, tmp_path):
    saved = read_checkpoint(whole('iterations'))
    run = resume_from(changed(saved, path, value), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=message):
        run.train()


@pytest.mark.parametrize(
    'name, message',
    [
        ('iter_9.pth', 'was saved after 20 iterations and 0 epochs, so its'),
    ],
)
def test_what_is_odd_is_named(name, message, whole, tmp_path):
    saved = read_checkpoint(whole('iterations'))
    run = resume_from(saved, tmp_path / name, log_level='INFO')
    run.train()
    log = next(tmp_path.glob('work/*/*.log')).read_text()
    assert message in log


def test_changes_since_the_checkpoint_are_named(tmp_path):
    options = [
        f'data_root={tmp_path}/shapes',
        'train_cfg.max_iters=2',
        'default_hooks.checkpoint.interval=2',
    ]
    arguments = ['train', CONFIG, '--work-dir', tmp_path / 'run']
    arguments += ['--cfg-options', *options]
    assert command_line.run(*arguments) == 0
    assert (
        command_line.run(
            *arguments,
            'train_cfg.max_iters=3',
            'optim_wrapper.optimizer.lr=0.5',
            'train_dataloader.batch_size=2',
            'model.roi_head.mask_head.loss_mask.loss_weight=2.0',
            'load_from=None',
            'resume=True',
        )
        == 0
    )
    logs = sorted((tmp_path / 'run').glob('*/*.log'))
    text = logs[-1].read_text()
    assert '  batch.images per process: 1 -> 2\n' in text
    assert '  learning rate.optimizer.lr: 0.01 -> 0.5\n' in text
    assert '  length.max_iters: 2 -> 3\n' in text
    assert '  model.roi_head.mask_head.loss_mask.loss_weight: 1.0 -> 2.0' in (
        text
    )
    assert 'go on with the learning rates of the checkpoint' in text
