"""Run chunks on several threads, each chunk on one thread.

An operation that PyTorch spreads over threads ends when its slowest thread
ends. Work in chunks is many small operations: where another program holds a
core, every operation waits for that core. Here each thread takes its own
chunks through all operations, and the threads wait for each other only at the
end.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import lru_cache

import torch

# More threads would wait for Python's lock, which each operation holds for
# some microseconds. Further cores share the operations of each thread.
MAX_WORKERS = 8

_starting = threading.Lock()
_thread = threading.local()


def num_workers() -> int:
    """Return the number of threads that share the chunks."""
    if getattr(_thread, 'is_worker', False):
        return 1
    # Modes that watch operations, such as counters of FLOPs, only see the
    # operations of the calling thread.
    if torch._C._len_torch_dispatch_stack():
        return 1
    return min(torch.get_num_threads(), MAX_WORKERS)


def share_out(work: Callable[[int, int], None], count: int) -> None:
    """Call `work(worker, number)` for each number below `count`.

    Worker `i` of `n` takes the numbers `i`, `i + n`, and so on, in this
    order. During a call, gradients are not recorded and autocast is off. A
    single worker runs on the calling thread.

    Args:
        work: Function to call.
        count: Number of calls.

    Raises:
        Exception: If a call raises. The error is raised after all workers
            have ended.
    """
    workers = min(num_workers(), count)
    without_grad = (
        torch.inference_mode
        if torch.is_inference_mode_enabled()
        else torch.no_grad
    )

    def run(worker: int) -> None:
        # Gradient mode and autocast are settings of a thread.
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
    """Start the threads of `_pool`, and set their number of threads."""
    all_started = threading.Barrier(workers)

    def start() -> None:
        _thread.is_worker = True
        # The first call in a thread resets the number, so it comes first.
        torch.get_num_threads()
        torch.set_num_threads(threads)
        all_started.wait()

    total = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, 'swin_dense', start)
    wait([pool.submit(int) for _ in range(workers)])
    # PyTorch gives the number that was set last to new threads.
    torch.set_num_threads(total)
    return pool


# A forked process does not have the threads of its parent.
os.register_at_fork(after_in_child=_start_pool.cache_clear)
