"""Finished training runs that the tests of this folder share."""

import pytest

from helpers import training
from helpers.saved_runs import EMA, FUSED
from swin_dense.checkpoints.files.read import read_checkpoint


@pytest.fixture(scope='package')
def reference(tmp_path_factory):
    """Return the folder of a run of 20 steps, with a checkpoint every 5."""
    folder = tmp_path_factory.mktemp('reference')
    run = training.runner(folder, checkpoint=dict(max_keep_ckpts=-1))
    run.train()
    return folder


@pytest.fixture(scope='package')
def saved(tmp_path_factory):
    """Return the checkpoint of a run with averaged weights."""
    folder = tmp_path_factory.mktemp('saved')
    training.runner(
        folder, steps=5, custom_hooks=EMA, optim_wrapper=FUSED
    ).train()
    return read_checkpoint(folder / 'iter_5.pth')
