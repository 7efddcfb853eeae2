"""Kill a training again and again, and check that nothing is lost.

    python tests/helpers/kill_runs.py CONFIG --kills 100

trains a config in processes that are killed at random moments (KILL, TERM and
INT in turn) and resumed. After each kill, the newest checkpoint must be intact
and no process may be left. When a training gets to its end, its weights must
be bit by bit those of a training that was never killed, and no unfinished file
may be left; then it starts anew. Prints a line for each kill.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.commands import train as command
from swin_dense.engine.resume import find_latest
from swin_dense.engine.training_state import progress_of

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def start(arguments, log):
    """Train in a process of its own session, with a log; return its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = command.main(arguments)
    finally:
        os._exit(status)


def wait(process, seconds):
    """Return the exit status of a process, or None if it still runs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    return None


def session_of(process):
    """Return the processes of a session that still run."""
    members = []
    for entry in Path('/proc').iterdir():
        try:
            fields = (entry / 'stat').read_text().rpartition(')')[2].split()
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(fields[3]) == process:
            members += [int(entry.name)] * (fields[0] != 'Z')
    return members


def last_step(folder):
    """Return the iteration of the newest intact checkpoint, 0 if none."""
    newest = find_latest(folder)
    if newest is None:
        return 0
    return progress_of(read_checkpoint(newest, mmap=True))[1]


def kill_runs(config, kills, folder, options=(), seed=0, say=print):
    """Return the number of kills that were survived.

    Args:
        config: Path or name of the config.
        kills: Number of kills.
        folder: Folder for the runs.
        options: `KEY=VALUE` settings of the config.
        seed: Seed of the moments.
        say: Function that prints a line.

    Raises:
        AssertionError: If something was lost, is damaged or is left over.
    """
    choose = random.Random(seed)

    def arguments(name):
        return [
            *(config, '--work-dir', str(folder / name), '--seed', '0'),
            *('--resume', '--cfg-options', *options),
        ]

    log = folder / 'log.txt'
    began = time.monotonic()
    process = start(arguments('whole'), log)
    assert wait(process, 3600) == 0, log.read_text()[-2000:]
    duration = time.monotonic() - began
    end = last_step(folder / 'whole')
    expected = read_checkpoint(find_latest(folder / 'whole'))['state_dict']
    survived = runs = step = 0
    run = folder / f'run_{runs}'
    while survived < kills:
        process = start(arguments(run.name), log)
        how = SIGNALS[survived % len(SIGNALS)]
        status = wait(process, choose.uniform(0.1, duration))
        is_killed = status is None
        if is_killed:
            os.kill(process, how)
            sent = time.monotonic()
            status = wait(process, 60)
            # A signal may come too late for a run that is about to end.
            is_killed = status != 0 or time.monotonic() - sent > 2
        if is_killed:
            assert status, f'{how.name} had no effect'
            survived += 1
            deadline = time.monotonic() + 30
            while session_of(process) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not session_of(process), 'processes are left'
            reached = last_step(run) if run.is_dir() else 0
            assert reached >= step, f'{reached} is before {step}'
            say(f'{survived}: {how.name}, goes on after step {reached}')
            step = reached
            continue
        assert status == 0, (
            f'status {status} after {survived} kills: '
            f'{log.read_text()[-2000:]}'
        )
        if last_step(run) == end:
            weights = read_checkpoint(find_latest(run))['state_dict']
            for name, value in expected.items():
                assert torch.equal(weights[name], value), name
            left = [p.name for p in run.iterdir() if 'partial' in p.name]
            assert not left and not list(run.glob('*.lock')), left
            say(f'run {runs} ends at step {end} with equal weights')
            runs, step = runs + 1, 0
            run = folder / f'run_{runs}'
    return survived


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config')
    parser.add_argument('--kills', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cfg-options', nargs='*', default=())
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        survived = kill_runs(
            args.config,
            args.kills,
            Path(folder),
            args.cfg_options,
            args.seed,
            lambda line: print(line, flush=True),
        )
    print(f'{survived} kills survived')


if __name__ == '__main__':
    main()
