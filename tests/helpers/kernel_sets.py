"""Running a test with every set of kernels."""

from contextlib import contextmanager

import pytest

from swin_dense import kernels

NAMES = sorted(kernels.available())
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
        yield
