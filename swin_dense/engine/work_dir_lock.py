"""Allow one training at a time in a work folder.

A file in the folder names the host and the process that trains there. The
process holds a lock (`flock`) on the file, which the system releases when the
process ends; a file without a lock is left over. If the file system has no
locks, or does not share them between hosts, the process id decides on the same
host, and on another host the age of the file's last update.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = 'training.lock'
# Seconds between updates of the file, and seconds without an update after
# which a process on another host counts as gone.
SIGN_OF_LIFE = 30
GONE = 600
# A process that only checks holds the lock for an instant.
TRIES, PAUSE = 5, 0.05
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
# Descriptors of all locks that this process holds. A forked process closes
# them; otherwise the locks would last until the last of them ends.
_descriptors: set[int] = set()


class WorkDirInUseError(ValueError):
    """Another process trains in a work folder."""


class WorkDirLock:
    """The right to train in a folder.

    Args:
        folder: The work folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder, NAME)
        self._descriptor: int | None = None
        self._process = 0
        self._next_sign = 0.0

    def acquire(self) -> None:
        """Take the lock; create the folder where needed.

        Raises:
            WorkDirInUseError: If another process trains there.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for left in reversed(range(TRIES)):
            descriptor, is_new = self._open()
            try:
                locked, problem = _look(self.path, descriptor, is_new)
            except BaseException:
                os.close(descriptor)
                raise
            is_free = problem is None
            if is_free and (locked or is_new) and self._keep(descriptor):
                return
            if is_free and not locked:  # a leftover: who creates it anew wins
                self.path.unlink(missing_ok=True)
            os.close(descriptor)
            if problem and not left:
                raise WorkDirInUseError(problem)
            time.sleep(PAUSE)
        raise WorkDirInUseError(
            f'{self.path} keeps changing: several trainings seem to start '
            'there at the same time. Start one after the other, or choose '
            'other folders by --work-dir'
        )

    def release(self) -> None:
        """Release the lock and remove its file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or os.getpid() != self._process:
            return
        if _is_same(self.path, descriptor):
            self.path.unlink()
        _descriptors.discard(descriptor)
        os.close(descriptor)

    def give_sign_of_life(self) -> None:
        """Update the file's time for other hosts, every `SIGN_OF_LIFE` s."""
        now = time.monotonic()
        if self._descriptor is None or now < self._next_sign:
            return
        self._next_sign = now + SIGN_OF_LIFE
        try:
            os.utime(self.path)
        except OSError:  # the file was removed by hand
            pass

    def _open(self) -> tuple[int, bool]:
        """Open the file; the second value is True if it was created."""
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
        except FileExistsError:
            return os.open(self.path, os.O_RDWR | os.O_CREAT), False

    def _keep(self, descriptor: int) -> bool:
        """Write the owner into a locked file; return False if it is gone."""
        if not _is_same(self.path, descriptor):
            return False
        record = dict(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=time.strftime('%Y-%m-%d %H:%M:%S'),
        )
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(record).encode())
        _descriptors.add(descriptor)
        self._descriptor, self._process = descriptor, os.getpid()
        return True


@contextmanager
def hold_work_dir(folder: str | Path) -> Iterator[WorkDirLock]:
    """Keep other trainings out of a folder.

    The processes of a distributed run share the lock: the main one takes it,
    and all of them raise if it cannot.

    Raises:
        WorkDirInUseError: If another run trains there.
    """
    lock = WorkDirLock(folder)
    problems: list = [None]
    if is_main_process():
        try:
            lock.acquire()
        except WorkDirInUseError as error:
            problems = [str(error)]
    broadcast_object_list(problems)
    if problems[0]:
        raise WorkDirInUseError(problems[0])
    try:
        yield lock
    finally:
        lock.release()


def check_not_training(folder: str | Path) -> None:
    """Raise if a process trains in a folder; change nothing there.

    In a distributed run only the first process checks, before it takes the
    lock: the other processes might see the lock of their own run.

    Raises:
        WorkDirInUseError: If a process trains there.
    """
    path = Path(folder, NAME)
    if _rank() or not path.is_file():
        return
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        _, problem = _look(path, descriptor, False)
    finally:
        os.close(descriptor)
    if problem:
        raise WorkDirInUseError(problem)


def _rank() -> int:
    """Return the number that a launcher gave this process."""
    for name in ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        if os.environ.get(name, '').isdecimal():
            return int(os.environ[name])
    return 0


def _look(
    path: Path, descriptor: int, is_new: bool
) -> tuple[bool | None, str | None]:
    """Try to lock an open lock file.

    Returns:
        Whether the file is locked now, see `_try_lock`; and a sentence on the
        process that has it, None if it is free.
    """
    locked = _try_lock(descriptor)
    owner = _read_owner(descriptor)
    if locked is False:
        return locked, _sentence(path, owner)
    if is_new or not _is_same(path, descriptor):
        return locked, None
    age = time.time() - os.fstat(descriptor).st_mtime
    if owner is None:
        # Without locks, the owner may be about to write the file.
        is_alive = locked is None and age < SIGN_OF_LIFE
    elif owner['host'] == socket.gethostname():
        # With locks, the owner is dead, since this process got the lock; its
        # process id may belong to another process by now.
        is_alive = locked is None and _is_alive(owner['pid'])
    else:
        is_alive = age < GONE
    return locked, _sentence(path, owner, age) if is_alive else None


def _try_lock(descriptor: int) -> bool | None:
    """Lock a file until it is closed; None where there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def _read_owner(descriptor: int) -> dict[str, Any] | None:
    """Return the owner in a lock file; None if it is empty or damaged."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(descriptor, 4096))
        return dict(
            host=str(owner['host']),
            pid=int(owner['pid']),
            started=str(owner['started']),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_same(path: Path, descriptor: int) -> bool:
    """Return True if an open file is still the one of its path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    """Return True if there is, or may be, a process of this id."""
    if os.name == 'nt':  # os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sentence(
    path: Path, owner: dict[str, Any] | None, age: float | None = None
) -> str:
    who = (
        'another process'
        if owner is None
        else (
            f'process {owner["pid"]} on {owner["host"]}, since '
            f'{owner["started"]}'
        )
    )
    sentence = (
        f'{path.parent} is in use: a training runs there ({who}). '
        'Wait until it ends, or choose another folder by --work-dir'
    )
    if age is not None:
        sentence += (
            f'. If that process, whose last sign of life came '
            f'{max(age, 0):.0f} s ago, is gone, delete {path}'
        )
    return sentence


def _forget() -> None:
    for descriptor in _descriptors:
        os.close(descriptor)
    _descriptors.clear()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget)
