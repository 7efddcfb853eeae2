"""Fixtures for the tests of layers."""

import pytest

from helpers.kernel_sets import CASES, using


# The operator in Triton has no float64; test_kernels/ has its tests.
@pytest.fixture(params=[case for case in CASES if case != 'triton'])
def each_kernels(request):
    """Run a test with each set of kernels."""
    with using(request.param):
        yield
