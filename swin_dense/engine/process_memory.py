"""Memory of this process, as the Linux kernel counts it."""

import ctypes
import gc
import re
from pathlib import Path

import torch


def free_memory() -> None:
    """Give memory that is not in use back to the system."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim:
        trim(0)


def reset_peak() -> None:
    """Let the peak of resident memory, `VmHWM`, start from what is held now.

    Raises:
        OSError: If the kernel does not count a peak.
    """
    Path('/proc/self/clear_refs').write_text('5')


def status(field: str) -> int:
    """Return a size of this process in bytes.

    Args:
        field: Name in `/proc/self/status`: `VmRSS` for resident memory,
            `VmHWM` for its peak, `VmSize` for all addresses.

    Raises:
        OSError: If the kernel does not report the size.
    """
    text = Path('/proc/self/status').read_text()
    size = re.search(rf'{field}:\s+(\d+) kB', text)
    if size is None:
        raise OSError(f'/proc/self/status has no {field}')
    return int(size[1]) * 1024
