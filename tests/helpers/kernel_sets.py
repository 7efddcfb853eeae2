"""Run a test with every set of kernels."""

from contextlib import contextmanager

import pytest
import torch

from swin_dense import kernels

# Why a set does not work on a CPU, or None. Triton does in its interpreter,
# see conftest.py.
OBSTACLES = {
    name: kernel_set.refuses(torch.zeros(1))
    for name, kernel_set in kernels.available().items()
}
NAMES = sorted(name for name, why in OBSTACLES.items() if why is None)
needs_triton = pytest.mark.skipif(
    'triton' not in NAMES,
    reason=str(OBSTACLES.get('triton', 'its kernels are not installed')),
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
