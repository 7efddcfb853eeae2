"""One training at a time in a work folder."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest

from swin_dense.engine import work_dir_lock
from swin_dense.engine.launch import apply_command_line, load_config
from swin_dense.engine.work_dir_lock import (
    GONE,
    NAME,
    WorkDirInUseError,
    WorkDirLock,
    check_not_training,
    hold_work_dir,
)

HOST = socket.gethostname()
# Trains in a folder until it is told to end, or killed.
CODE = (
    'import sys\n'
    'from swin_dense.engine.work_dir_lock import hold_work_dir\n'
    'with hold_work_dir(sys.argv[1]):\n'
    '    print("holds", flush=True)\n'
    '    sys.stdin.readline()\n'
)


@pytest.fixture
def other(tmp_path):
    """Start another process that trains in the folder."""
    process = subprocess.Popen(
        [sys.executable, '-c', CODE, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'holds\n'
    yield process
    process.kill()
    process.communicate()


def write_owner(folder, host=HOST, pid=1, age=0.0):
    path = folder / NAME
    path.write_text(json.dumps(dict(host=host, pid=pid, started='once')))
    os.utime(path, (time.time() - age,) * 2)
    return path


def takes_it(folder):
    with hold_work_dir(folder):
        owner = json.loads((folder / NAME).read_text())
    return (owner['host'], owner['pid']) == (HOST, os.getpid()) and not (
        folder / NAME
    ).exists()


def test_a_second_training_is_refused_until_the_first_ends(tmp_path, other):
    before = (tmp_path / NAME).read_bytes()
    for enter in (
        check_not_training,
        lambda folder: WorkDirLock(folder).acquire(),
    ):
        with pytest.raises(WorkDirInUseError) as caught:
            enter(tmp_path)
        assert str(caught.value).startswith(
            f'{tmp_path} is in use: a training runs there (process '
            f'{other.pid} on {HOST}, since 2'
        )
        assert 'choose another folder by --work-dir' in str(caught.value)
    assert (tmp_path / NAME).read_bytes() == before
    other.communicate('end\n')
    check_not_training(tmp_path)
    assert takes_it(tmp_path)


def test_a_killed_one_leaves_no_lock(tmp_path, other):
    other.kill()
    other.wait()
    assert (tmp_path / NAME).exists()
    check_not_training(tmp_path)
    assert takes_it(tmp_path)


def test_resuming_beside_a_running_one(tmp_path, other):
    config = tmp_path / 'x.py'
    config.write_text('a = 1')
    with pytest.raises(WorkDirInUseError, match='a training runs there'):
        apply_command_line(
            load_config(config), work_dir=tmp_path, resume='auto'
        )


def test_errors_release_it(tmp_path):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), hold_work_dir(tmp_path / 'new'):
            raise error
        assert not (tmp_path / 'new' / NAME).exists()


def test_in_one_process_too(tmp_path):
    with hold_work_dir(tmp_path):
        with pytest.raises(WorkDirInUseError), hold_work_dir(tmp_path):
            pass
        with pytest.raises(WorkDirInUseError):
            check_not_training(tmp_path)


@pytest.mark.parametrize(
    'content', [b'', b'{', b'[]', b'{"host": 1}', b'[' * 4000]
)
def test_a_damaged_leftover(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    check_not_training(tmp_path)
    assert takes_it(tmp_path)


def test_a_leftover_with_the_number_of_another_process(tmp_path):
    """The lock decides, not the process id, which may be reused."""
    write_owner(tmp_path, pid=os.getppid())
    assert takes_it(tmp_path)


def test_on_another_host_the_last_sign_of_life_counts(tmp_path):
    path = write_owner(tmp_path, host='elsewhere', pid=7, age=20)
    with pytest.raises(WorkDirInUseError) as caught, hold_work_dir(tmp_path):
        pass
    assert '(process 7 on elsewhere, since once)' in str(caught.value)
    assert '20 s ago, is gone, delete ' + str(path) in str(caught.value)
    write_owner(tmp_path, host='elsewhere', pid=7, age=GONE + 1)
    assert takes_it(tmp_path)


def test_signs_of_life(tmp_path, monkeypatch):
    with hold_work_dir(tmp_path) as lock:
        os.utime(lock.path, (0, 0))
        lock.give_sign_of_life()
        assert time.time() - lock.path.stat().st_mtime < 60
        os.utime(lock.path, (0, 0))
        lock.give_sign_of_life()  # not yet again
        assert lock.path.stat().st_mtime == 0
        lock.path.unlink()
        lock._next_sign = 0
        lock.give_sign_of_life()


def test_without_locks_the_process_counts(tmp_path, monkeypatch):
    """As on some network file systems."""
    monkeypatch.setattr(work_dir_lock, '_try_lock', lambda descriptor: None)
    with hold_work_dir(tmp_path):
        with pytest.raises(WorkDirInUseError, match=f'process {os.getpid()}'):
            WorkDirLock(tmp_path).acquire()
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    write_owner(tmp_path, pid=process.pid)
    check_not_training(tmp_path)
    assert takes_it(tmp_path)
    (tmp_path / NAME).touch()  # about to be written
    with pytest.raises(WorkDirInUseError, match='another process'):
        WorkDirLock(tmp_path).acquire()


def _wait(pipe):
    pipe.send(os.getpid())
    pipe.recv()


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_processes_that_load_data_do_not_keep_it(tmp_path):
    """Loader processes may outlive a training that is killed."""
    here, there = multiprocessing.Pipe()
    lock = WorkDirLock(tmp_path)
    lock.acquire()
    worker = multiprocessing.get_context('fork').Process(
        target=_wait, args=(there,)
    )
    worker.start()
    try:
        here.recv()
        lock.release()
        assert takes_it(tmp_path)
    finally:
        here.send(None)
        worker.join()


def test_other_processes_of_a_run_do_not_look(tmp_path, monkeypatch):
    with hold_work_dir(tmp_path):
        monkeypatch.setenv('RANK', '1')
        check_not_training(tmp_path)
        monkeypatch.setenv('RANK', '0')
        with pytest.raises(WorkDirInUseError):
            check_not_training(tmp_path)


def test_of_many_at_once_one_wins(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', CODE, tmp_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    holds = []
    for process in processes:
        if process.stdout.readline() == 'holds\n':
            holds.append(process)
    assert len(holds) == 1
    for process in processes:
        error = process.communicate('end\n')[1]
        assert (process in holds) != ('WorkDirInUseError' in error)
    assert not (tmp_path / NAME).exists()
