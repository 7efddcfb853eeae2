"""Parameters that mmdet's constructors leave uninitialised are not used."""

import math

import pytest
import torch

from helpers.command_line import error_of, run
from swin_dense.analysis.benchmark import BenchmarkCase, whole_model
from swin_dense.commands import plan

DINO = """
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
model = dict(
    num_queries=20,
    backbone=dict(
        _delete_=True, type='swin_dense.SwinTransformer', embed_dims=12,
        depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4,
        out_indices=(1, 2, 3), pretrained='absent.pth'),
    neck=dict(in_channels=[24, 48, 96]),
    encoder=dict(num_layers=1),
    decoder=dict(num_layers=1))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config of DINO, whose uninitialised memory is NaN."""
    detectors = pytest.importorskip('mmdet.models.detectors')
    init_layers = detectors.DINO._init_layers

    def fill(self):
        init_layers(self)
        torch.nn.init.constant_(self.level_embed, math.nan)

    monkeypatch.setattr(detectors.DINO, '_init_layers', fill)
    (tmp_path / 'dino.py').write_text(DINO)
    return tmp_path / 'dino.py'


def is_finite(model):
    assert 'level_embed' in dict(model.named_parameters())
    return all(torch.isfinite(p).all() for p in model.parameters())


@pytest.mark.parametrize('name', ['ours', 'peer'])
def test_a_benchmark(config, name):
    assert is_finite(whole_model(BenchmarkCase(config=str(config)), name))


def test_a_plan(config, monkeypatch, capsys):
    def stop(model, *args, **options):
        raise ValueError(f'finite: {is_finite(model)}')

    monkeypatch.setattr(plan, 'make_plan', stop)
    status = run('plan', config, '--shape', 64, 96, '--objects', 2)
    assert 'finite: True' in error_of(capsys, status)
