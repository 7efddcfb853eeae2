"""Options, shared fixtures and the rules for markers."""

import logging
import os
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

# Before anything imports Triton: without a GPU its programs run in Python.
if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')

# Before any test imports a host: it stands in for mmcv's compiled half.
import swin_dense  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_DATA = REPOSITORY.parent / 'shared' / 'data'


def pytest_addoption(parser):
    parser.addoption(
        '--run-slow',
        action='store_true',
        help='also run the tests that take minutes',
    )
    parser.addoption(
        '--device',
        default='cuda',
        help='device of the tests that need a GPU; cpu to try them without',
    )


def pytest_collection_modifyitems(config, items):
    skip_slow = pytest.mark.skip(reason='slow: run with --run-slow')
    skip_cuda = pytest.mark.skip(reason='no CUDA device')
    has_device = torch.cuda.is_available() or not config.getoption(
        '--device'
    ).startswith('cuda')
    for item in items:
        # Not by `item.keywords`: parameters such as "cuda" are among these.
        if item.get_closest_marker('slow') and not config.getoption(
            '--run-slow'
        ):
            item.add_marker(skip_slow)
        if item.get_closest_marker('cuda') and not has_device:
            item.add_marker(skip_cuda)


def pytest_configure(config):
    # Workers run side by side, and so do the processes that they start; more
    # threads each would only contend.
    if hasattr(config, 'workerinput'):
        torch.set_num_threads(1)
        os.environ['OMP_NUM_THREADS'] = '1'


@pytest.fixture(autouse=True, scope='module')
def no_scope():
    """Forget the default scope that a run in another module has set."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def seed():
    """Start every test from the same random state."""
    torch.manual_seed(0)


@pytest.fixture
def device(request) -> str:
    """Return the device of the tests that need a GPU, see `--device`."""
    return request.config.getoption('--device')


@pytest.fixture
def real_data() -> Path:
    """Return the folder of real images, or skip the test."""
    if not REAL_DATA.is_dir():
        pytest.skip(f'no real images: {REAL_DATA} does not exist')
    return REAL_DATA


@pytest.fixture
def logged(caplog):
    """Capture text that was logged, which mmengine does not propagate."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
