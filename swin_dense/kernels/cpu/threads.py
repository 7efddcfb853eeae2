"""Work shared out among threads, each of which computes alone.

An operation that PyTorch spreads over threads ends when the slowest of them
is done. Work in chunks is many small operations: where another program holds
a core, each of them waits for it. Here a thread takes chunks of its own
through all operations, and the threads meet once, at the end.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import lru_cache

import torch

# With more, threads wait for Python's lock, which each operation takes for
# some microseconds. Further cores share the operations of each thread.
MAX_WORKERS = 8

_starting = threading.Lock()
_thread = threading.local()


def num_workers() -> int:
    """Return the number of threads that work is best shared out among."""
    if getattr(_thread, 'is_worker', False):
        return 1
    # Modes that watch operations, such as counters of FLOPs, see those of
    # the calling thread only.
    if torch._C._len_torch_dispatch_stack():
        return 1
    return min(torch.get_num_threads(), MAX_WORKERS)


def share_out(work: Callable[[int, int], None], count: int) -> None:
    """Call `work(worker, number)` for each number below `count`.

    Worker `i` of `n` takes the numbers `i`, `i + n`, and so on, in this
    order. Inside, gradients are not recorded and autocast is off. A single
    worker is the calling thread.

    Args:
        work: What to call.
        count: How often.

    Raises:
        Exception: If a call raises, once all workers have ended.
    """
    workers = min(num_workers(), count)
    without_grad = (
        torch.inference_mode
        if torch.is_inference_mode_enabled()
        else torch.no_grad
    )

    def run(worker: int) -> None:
        # Each thread has switches of its own.
        with without_grad(), torch.autocast('cpu', enabled=False):
            for number in range(worker, count, workers):
                work(worker, number)

    if workers < 2:
        run(0)
        return
    pool = _pool(workers, torch.get_num_threads() // workers)
    calls = [
        pool.submit(copy_context().run, run, worker)
        for worker in range(workers)
    ]
    wait(calls)
    for call in calls:
        call.result()


def _pool(workers: int, threads: int) -> ThreadPoolExecutor:
    """Return running threads whose operations use `threads` threads each."""
    with _starting:
        return _start_pool(workers, threads)


@lru_cache(maxsize=1)
def _start_pool(workers: int, threads: int) -> ThreadPoolExecutor:
    everyone_is_there = threading.Barrier(workers)

    def start() -> None:
        _thread.is_worker = True
        torch.get_num_threads()  # a thread's first call undoes what was set
        torch.set_num_threads(threads)
        everyone_is_there.wait()

    total = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, 'swin_dense', start)
    wait([pool.submit(int) for _ in range(workers)])
    # The last number set is also that of threads to come.
    torch.set_num_threads(total)
    return pool


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_start_pool.cache_clear)
