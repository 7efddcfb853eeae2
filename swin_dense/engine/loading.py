"""Check that data loaders have batches, and limit the time to wait for one."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from swin_dense.data.wrappers import inner_settings

# Seconds to wait for the next batch. A process that loads data hangs if a
# library does not survive a fork, or a disk does not answer; without a limit
# the run would wait for ever.
TIME_LIMIT = 600


def with_time_limit(dataloader: Any) -> Any:
    """Return data loader settings with `timeout`, if there are workers."""
    if isinstance(dataloader, dict) and dataloader.get('num_workers'):
        return {'timeout': TIME_LIMIT, **dataloader}
    return dataloader


_PR_SET_PDEATHSIG = 1  # of Linux's prctl


class EndWithParent:
    """Start of a process that loads data: it ends when its parent is killed.

    PyTorch's workers look every five seconds whether their parent is alive,
    and not while they load an item.

    Args:
        start: Function that starts the process otherwise, or None.
    """

    def __init__(self, start: Callable[[int], None] | None) -> None:
        self.start = start
        self.parent = os.getpid()

    def __call__(self, worker_id: int) -> None:
        if sys.platform == 'linux':
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self.parent:  # it was killed before
                os._exit(1)
        if self.start is not None:
            self.start(worker_id)


def end_with_parent(loader: DataLoader) -> None:
    """Let the processes of a data loader end when this process is killed."""
    if loader.num_workers and not isinstance(
        loader.worker_init_fn, EndWithParent
    ):
        loader.worker_init_fn = EndWithParent(loader.worker_init_fn)


def check_length(loader: DataLoader) -> None:
    """Raise unless a data loader has a batch.

    An infinite sampler without items would search for ever, and an epoch
    without batches would train nothing, silently.

    Raises:
        ValueError: If there are no items, or no full batch.
    """
    dataset: Any = loader.dataset
    size = len(dataset)
    if not size:
        raise ValueError(
            f'the data set {type(dataset).__name__} is '
            'empty: nothing is left after its filters and '
            'indices'
        )
    if not len(loader):
        raise ValueError(
            f'the data set has {size} items, which is no full batch, and '
            'drop_last=True leaves incomplete ones out: use a smaller '
            'batch_size or drop_last=False'
        )


@contextmanager
def explain_empty(dataloader: Any) -> Iterator[None]:
    """Explain NumPy's error for a host's data set without items.

    mmengine concatenates the items of a data set when it is built.

    Args:
        dataloader: Settings of a data loader, or the data loader.

    Raises:
        ValueError: In place of NumPy's error.
    """
    try:
        yield
    except ValueError as error:
        dataset = dataloader['dataset']
        if 'need at least one array to concatenate' not in str(
            error
        ) or not isinstance(dataset, dict):
            raise
        sources = [
            f'{settings.get("type")} ({settings.get("ann_file")})'
            for settings in inner_settings(dataset)
        ]
        raise ValueError(
            f'a data set is empty, {" or ".join(sources)}: nothing is left '
            'after its filters and indices. Correct ann_file, the class names '
            'or filter_cfg'
        ) from error


@contextmanager
def explain_time_limit() -> Iterator[None]:
    """Replace PyTorch's error for a time-out by one that says what to do.

    Raises:
        TimeoutError: If a data loader has timed out.
    """
    try:
        yield
    except RuntimeError as error:
        if 'DataLoader timed out' not in str(error):
            raise
        raise TimeoutError(
            f'{error}: the processes that load data gave no batch for so '
            'long. If they hang, num_workers=0 in the dataloader shows where '
            "(with persistent_workers=False), and multiprocessing_context='"
            "spawn' starts them clean; if a batch does take longer, raise "
            'timeout=... in the dataloader'
        ) from error
