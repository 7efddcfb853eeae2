"""Run a test with every set of kernels."""

from contextlib import contextmanager

import pytest
import torch

from swin_dense import kernels

# Those that work on a CPU; Triton does in its interpreter, see conftest.py.
NAMES = sorted(
    name
    for name, kernel_set in kernels.available().items()
    if kernel_set.refuses(torch.zeros(1)) is None
)
# Those that are made for it: the others run there to be compared, slowly.
FOR_CPU = [
    name for name in NAMES if kernels.available()[name].device in (None, 'cpu')
]
# On a CPU also in many chunks, however small the test.
CASES = NAMES + ['cpu, small chunks'] * ('cpu' in NAMES)


@contextmanager
def using(case, chunk_bytes=400):
    """Use the kernels of one of `CASES`."""
    name, _, small = case.partition(', ')
    with pytest.MonkeyPatch.context() as patch, kernels.use(name):
        if small:
            from swin_dense.kernels.cpu import chunks

            patch.setattr(chunks, 'CHUNK_BYTES', chunk_bytes)
            patch.setattr(chunks, 'SHARED_BYTES', 0)
            patch.setattr(chunks, 'WHOLE_BYTES', 0)
            patch.setattr(chunks, 'CACHE_BYTES', 0)
        yield
