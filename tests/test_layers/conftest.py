"""Fixtures of the tests of layers."""

import pytest

from helpers.kernel_sets import CASES, using


@pytest.fixture(params=CASES)
def each_kernels(request):
    """All sets of kernels in turn."""
    with using(request.param):
        yield
