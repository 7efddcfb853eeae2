"""Checkpoints of a run record the pretrained windows of a Swin V2."""

import pytest
import torch
from mmengine.model import BaseModel

from helpers import training
from helpers.window_files import model, weights
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.checkpoints.load import load_backbone

LEARNED = ((8, 8),) * 4


class Images(BaseModel):
    """A backbone on images made of points."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = model('v2', drop_path_rate=0.0, **kwargs)

    def forward(self, points, targets, mode='loss'):
        axis = torch.linspace(-3, 3, 48)
        waves = (points[:, :3, None] * axis).sin()
        last = self.backbone(waves[..., None] * waves[:, :, None])[-1]
        if mode != 'loss':
            return last
        return dict(loss=((last.mean((1, 2, 3)) - targets) ** 2).mean())


def windows(run):
    return tuple(
        layer.blocks[0].attn.pretrained_window_size
        for layer in run.model.backbone.layers
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Return a run that has trained, and its folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp('trained')
    network = Images(window_size=6)
    load_backbone(network.backbone, weights('v2', window_size=8))
    run = training.runner(folder, steps=5, model=network)
    run.train()
    return run, folder


def predict(run):
    points = torch.linspace(-1, 1, 32).view(8, 4)
    with torch.no_grad():
        return run.model.eval()(points, None, mode='tensor')


def test_a_checkpoint_records_the_windows(trained):
    meta = read_checkpoint(trained[1] / 'iter_5.pth')['meta']
    assert meta['iter'] == 5
    assert meta['swin_dense'] == dict(
        window_sizes=[[6, 6]] * 4, pretrained_window_sizes=[[8, 8]] * 4
    )


@pytest.mark.parametrize('how', ['load_from', 'resume'])
def test_fresh_model_of_the_same_config_predicts_the_same(
    how, trained, tmp_path
):
    run, folder = trained
    fresh = training.runner(
        tmp_path,
        steps=5,
        model=Images(window_size=6),
        resume=how == 'resume',
        load_from=str(folder / 'iter_5.pth'),
    )
    assert windows(fresh) == ((0, 0),) * 4
    if how == 'resume':
        fresh.train()  # there is nothing left to do
    else:
        fresh.load_or_resume()
    assert windows(fresh) == windows(run) == LEARNED
    assert torch.equal(predict(fresh), predict(run))
    for layer in fresh.model.backbone.layers:
        for block in layer.blocks:
            block.attn.cpb_mlp.pretrained_window_size = (0, 0)
    fresh.model.train()  # forgets the tables
    assert (predict(fresh) - predict(run)).abs().max() > 1e-5


def test_models_without_windows_record_nothing(tmp_path):
    training.runner(tmp_path, steps=5).train()
    meta = read_checkpoint(tmp_path / 'iter_5.pth')['meta']
    assert 'swin_dense' not in meta
