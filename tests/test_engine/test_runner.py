"""Checkpoints of a training run: strict, resumable, never half written."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook, Hook
from torch import nn

from helpers import training
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.checkpoint_hook import SafeCheckpointHook
from swin_dense.engine.resume import find_latest
from swin_dense.engine.runner import DenseRunner


@pytest.fixture(scope='module')
def reference(tmp_path_factory):
    """20 steps in one go, one checkpoint after each 5."""
    folder = tmp_path_factory.mktemp('reference')
    run = training.runner(folder, checkpoint=dict(max_keep_ckpts=-1))
    run.train()
    return folder


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def assert_same_state(path, other):
    """Weights, optimizer, schedules and histories are bit-equal."""
    one, two = read_checkpoint(path), read_checkpoint(other)
    assert one['meta']['iter'] == two['meta']['iter']
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        flat, flat2 = flatten(one[key]), flatten(two[key])
        assert flat.keys() == flat2.keys()
        for name, value in flat.items():
            if torch.is_tensor(value):
                assert torch.equal(value, flat2[name]), name
            else:
                assert value == flat2[name], name
    losses = [
        file['message_hub']['log_scalars']['train/loss'].data[0]
        for file in (one, two)
    ]
    np.testing.assert_array_equal(*losses)


def flatten(value, path=''):
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {path: value}
    flat = {}
    for key, inner in items:
        flat.update(flatten(inner, f'{path}/{key}'))
    return flat


def test_resumed_training_equals_training_in_one_go(reference, tmp_path):
    copy(reference / 'iter_10.pth', tmp_path / 'iter_10.pth', age=0)
    keep_all = dict(max_keep_ckpts=-1)
    run = training.runner(tmp_path, checkpoint=keep_all, resume=True)
    run.train()
    assert run.iter == 20
    assert names(tmp_path) == ['iter_10.pth', 'iter_15.pth', 'iter_20.pth']
    for name in ('iter_15.pth', 'iter_20.pth'):
        assert_same_state(tmp_path / name, reference / name)


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_killed_in_mid_write(how, reference, tmp_path):
    # The third checkpoint, when one is kept only.
    process = subprocess.Popen(
        [sys.executable, training.__file__, tmp_path, '3'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and their children, ignore it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / 'writing').exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    assert process.wait(60) != 0
    process.stderr.close()
    assert names(tmp_path) == ['iter_10.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_10.pth')
    leftovers = list(tmp_path.glob('.iter_15.pth.*.partial'))
    assert len(leftovers) == (how == signal.SIGKILL)
    assert_same_state(tmp_path / 'iter_10.pth', reference / 'iter_10.pth')

    run = training.runner(tmp_path, resume=True)
    run.train()
    assert names(tmp_path) == ['iter_20.pth']
    assert not list(tmp_path.glob('.*.partial'))
    assert_same_state(tmp_path / 'iter_20.pth', reference / 'iter_20.pth')


def test_old_file_goes_after_the_new_one_is_there(tmp_path, monkeypatch):
    seen = []
    put = LocalBackend.put

    def watch(self, content, path):
        seen.append(names(tmp_path))
        return put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', watch)
    training.runner(tmp_path).train()
    assert seen == [[], ['iter_5.pth'], ['iter_10.pth'], ['iter_15.pth']]
    assert names(tmp_path) == ['iter_20.pth']


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    put = LocalBackend.put

    def fail(self, content, path):
        if 'iter_10' in path:
            Path(path).write_bytes(content[:100])
            raise OSError(28, 'No space left on device')
        return put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', fail)
    with pytest.raises(OSError, match='No space left'):
        training.runner(tmp_path).train()
    assert names(tmp_path) == ['iter_5.pth']
    assert not list(tmp_path.glob('.*.partial'))


def test_best_checkpoint_is_replaced_at_last(tmp_path):
    run = training.runner(
        tmp_path, checkpoint=dict(save_best='score', rule='greater')
    )
    run.train()
    hook = next(h for h in run.hooks if isinstance(h, CheckpointHook))
    assert type(hook) is SafeCheckpointHook
    seen = []
    save = run.save_checkpoint

    def watch(*args, **kwargs):
        seen.append(names(tmp_path))
        save(*args, **kwargs)

    run.save_checkpoint = watch
    hook.after_val_epoch(run, dict(score=0.25))
    assert names(tmp_path) == ['best_score_iter_20.pth', 'iter_20.pth']
    run.train_loop._iter = 21
    hook.after_val_epoch(run, dict(score=np.float64(0.5)))
    # Each time the best one is written first, then the last one again.
    assert seen[2] == ['best_score_iter_20.pth', 'iter_20.pth']
    assert 'best_score_iter_20.pth' in seen[3]
    assert names(tmp_path)[0] == 'best_score_iter_21.pth'
    assert 'best_score_iter_20.pth' not in names(tmp_path)
    run.train_loop._iter = 21
    hook.after_val_epoch(run, dict(score=0.75))
    assert 'best_score_iter_21.pth' in names(tmp_path)
    last = read_checkpoint(hook.last_ckpt)
    assert last['message_hub']['runtime_info']['best_score'] == 0.75


def test_what_cannot_be_read_back_is_not_kept(tmp_path):
    run = training.runner(tmp_path)
    run.train()
    run.message_hub.update_info('strange', Path('x'))
    with pytest.raises(CheckpointError, match='last.pth was not kept.*Path'):
        run.save_checkpoint(str(tmp_path), 'last.pth')
    assert names(tmp_path) == ['iter_20.pth']


def test_meta_of_a_config_can_be_read_back(tmp_path):
    run = training.runner(tmp_path)
    run.train_dataloader.dataset.metainfo['sizes'] = ConfigDict(a=[1, 2])
    run.train()
    meta = read_checkpoint(tmp_path / 'iter_20.pth')['meta']
    assert meta['dataset_meta'] == dict(
        classes=training.CLASSES, sizes=dict(a=[1, 2])
    )


def test_load_from_is_strict(reference, tmp_path):
    run = training.runner(
        tmp_path, steps=1, load_from=str(reference / 'iter_20.pth'), width=9
    )
    with pytest.raises(CheckpointError) as error:
        run.train()
    assert 'layers.0.weight: (8, 4) in the file, (9, 4) in the model' in str(
        error.value
    )
    assert str(reference / 'iter_20.pth') in str(error.value)
    run.load_checkpoint(str(reference / 'iter_20.pth'), strict=False)
    weights = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    assert torch.equal(run.model.layers[3].bias, weights['layers.3.bias'])


def test_load_from_loads(reference, tmp_path):
    path = str(reference / 'iter_20.pth')
    run = training.runner(tmp_path, steps=1, load_from=path)
    run.load_or_resume()
    for name, value in read_checkpoint(path)['state_dict'].items():
        assert torch.equal(run.model.state_dict()[name], value), name
    prefixed = tmp_path / 'prefixed.pth'
    state = {f'net.{k}': v for k, v in run.model.state_dict().items()}
    torch.save(state, prefixed)
    run.load_checkpoint(str(prefixed), revise_keys=[(r'^net\.', '')])
    with pytest.raises(CheckpointError, match='net.layers.0.weight'):
        run.load_checkpoint(str(prefixed))


def test_classes_in_another_order_are_an_error(reference, tmp_path):
    run = training.runner(
        tmp_path,
        load_from=str(reference / 'iter_20.pth'),
        classes=('square', 'circle', 'triangle'),
    )
    with pytest.raises(CheckpointError, match='labels would be swapped'):
        run.train()


class Scores(training.Line):
    """Its head scores classes."""

    def __init__(self, classes):
        super().__init__()
        self.head = nn.Module()
        self.head.num_classes = classes
        self.head.fc_cls = nn.Linear(2, classes + 1)

    def forward(self, points, targets, mode='loss'):
        scores = self.head.fc_cls(points[:, :2]).square().mean()
        return dict(loss=super().forward(points, targets)['loss'] + scores)


def of_other_classes(reference, path):
    """A checkpoint of five classes; the runs of this file have three."""
    state = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    state.update(
        {
            f'head.fc_cls.{k}': torch.randn_like(v)
            for k, v in nn.Linear(2, 6).state_dict().items()
        }
    )
    names = ['square', 'star', 'cross', 'circle', 'moon']
    meta = dict(dataset_meta=dict(classes=names))
    torch.save(dict(state_dict=state, meta=meta), path)
    return state


class Start(Hook):
    """Remembers the weights that training starts from."""

    def before_train(self, runner):
        self.state = {
            k: v.clone() for k, v in runner.model.state_dict().items()
        }


@pytest.mark.parametrize('copying', [False, True])
def test_fine_tuning_for_other_classes(copying, reference, tmp_path):
    path = tmp_path / 'other.pth'
    theirs = of_other_classes(reference, path)
    run = training.runner(
        tmp_path,
        steps=1,
        model=Scores(3),
        load_from=str(path),
        cfg=dict(copy_classes=copying),
    )
    initial = run.model.head.fc_cls.bias.clone()
    start = Start()
    run.register_hook(start)
    run.train()
    assert torch.equal(
        start.state['layers.0.weight'], theirs['layers.0.weight']
    )
    expected = initial
    if copying:  # circle, square, triangle, background
        bias = theirs['head.fc_cls.bias']
        expected = torch.stack([bias[3], bias[0], initial[2], bias[5]])
    assert torch.equal(start.state['head.fc_cls.bias'], expected)


def test_other_classes_are_an_error_unless_training_starts(
    reference, tmp_path
):
    path = tmp_path / 'other.pth'
    of_other_classes(reference, path)
    run = training.runner(tmp_path, model=Scores(3), load_from=str(path))
    message = 'The checkpoint has 5 classes, the model 3'
    with pytest.raises(CheckpointError, match=message):
        run.load_or_resume()  # as validation and test do
    with pytest.raises(CheckpointError, match=message):
        run.load_checkpoint(str(path))
    whole = read_checkpoint(reference / 'iter_20.pth')
    torch.save({**whole, **read_checkpoint(path)}, path)
    run = training.runner(
        tmp_path, model=Scores(3), load_from=str(path), resume=True
    )
    with pytest.raises(CheckpointError):
        run.train()


def test_resume_from_weights_only_is_an_error(reference, tmp_path):
    weights = read_checkpoint(reference / 'iter_20.pth')['state_dict']
    path = tmp_path / 'weights.pth'
    torch.save({'state_dict': weights}, path)
    run = training.runner(tmp_path, resume=True, load_from=str(path))
    with pytest.raises(CheckpointError) as error:
        run.train()
    assert 'has no meta, message_hub, optimizer' in str(error.value)
    assert 'load_from' in str(error.value)


def test_resume_of_a_truncated_file_is_an_error(reference, tmp_path):
    whole = (reference / 'iter_20.pth').read_bytes()
    path = tmp_path / 'cut.pth'
    path.write_bytes(whole[: len(whole) // 2])
    run = training.runner(tmp_path, resume=True, load_from=str(path))
    with pytest.raises(CheckpointError, match='cut.pth.*is truncated'):
        run.train()


def copy(source, target, age):
    target.write_bytes(source.read_bytes())
    os.utime(target, ns=(0, 10**18 - age * 10**9))


def test_newest_intact_checkpoint_is_found(reference, tmp_path):
    assert find_latest(tmp_path) is None
    copy(reference / 'iter_5.pth', tmp_path / 'iter_5.pth', age=30)
    copy(reference / 'iter_10.pth', tmp_path / 'iter_10.pth', age=20)
    assert find_latest(tmp_path) == tmp_path / 'iter_10.pth'
    pointer = tmp_path / 'last_checkpoint'
    # The folder has moved since.
    pointer.write_text('/somewhere/else/iter_5.pth')
    assert find_latest(tmp_path).name == 'iter_10.pth'
    # A file of an earlier run got further, but is older.
    pointer.write_text(str(tmp_path / 'iter_5.pth'))
    os.utime(tmp_path / 'iter_10.pth', ns=(0, 0))
    assert find_latest(tmp_path).name == 'iter_5.pth'
    pointer.write_text('')
    assert find_latest(tmp_path).name == 'iter_5.pth'
    copy(reference / 'iter_20.pth', tmp_path / 'best_score_iter_20.pth', 0)
    torch.save({'layers.0.weight': torch.ones(1)}, tmp_path / 'init.pth')
    assert find_latest(tmp_path).name == 'iter_5.pth'
    whole = (reference / 'iter_20.pth').read_bytes()
    (tmp_path / 'iter_20.pth').write_bytes(whole[:-100])
    pointer.write_text(str(tmp_path / 'iter_20.pth'))
    assert find_latest(tmp_path).name == 'iter_5.pth'


def test_nothing_intact_is_an_error(reference, tmp_path):
    (tmp_path / 'iter_5.pth').write_bytes(b'PK')
    with pytest.raises(CheckpointError, match='iter_5.pth.*delete them'):
        find_latest(tmp_path)


def test_nothing_to_resume_starts_anew(tmp_path, reference):
    training.runner(tmp_path, resume=True).train()
    assert_same_state(tmp_path / 'iter_20.pth', reference / 'iter_20.pth')


@pytest.mark.parametrize('device, reverted', [('cpu', True), ('cuda', False)])
def test_cpu_processes_have_no_sync_bn(monkeypatch, device, reverted):
    """PyTorch's SyncBN refuses tensors on the CPU."""
    monkeypatch.setattr('swin_dense.engine.runner.get_device', lambda: device)
    monkeypatch.setattr(
        'mmengine.runner.Runner.wrap_model', lambda self, cfg, model: model
    )
    runner = object.__new__(DenseRunner)
    runner._distributed = True
    runner.cfg = {}
    (norm,) = runner.wrap_model(None, nn.Sequential(nn.SyncBatchNorm(4)))
    assert isinstance(norm, nn.SyncBatchNorm) is not reverted
    assert norm.num_features == 4
