"""Checkpoints are written before older ones are removed."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from helpers import training
from helpers.saved_runs import EMA, FUSED, assert_same_state, changed, names
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.checkpoint_hook import SafeCheckpointHook


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


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_files_elsewhere_are_not_removed(saved, tmp_path, kind):
    precious = tmp_path / 'elsewhere' / 'best_work'
    precious.parent.mkdir()
    if kind == 'folder':
        precious.mkdir()
        (precious / 'thesis.tex').touch()
    else:
        precious.touch()
    work = tmp_path / 'work'
    work.mkdir()
    checkpoint = changed(
        saved, ('message_hub', 'runtime_info', 'best_ckpt'), str(precious)
    )
    path = work / 'iter_5.pth'
    torch.save(checkpoint, path)
    run = training.runner(
        work,
        steps=6,
        resume=True,
        custom_hooks=EMA,
        optim_wrapper=FUSED,
        checkpoint=dict(save_best='score', rule='greater'),
    )
    run.train()
    hook = next(h for h in run.hooks if isinstance(h, CheckpointHook))
    assert hook.best_ckpt_path == str(work / 'best_work')
    hook.after_val_epoch(run, dict(score=1.0))
    assert precious.exists()
    assert Path(hook.best_ckpt_path).parent == work
