"""The programs of docs/api.md run, on small models."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.models import NARROW
from helpers.moving_squares import moving_square
from swin_dense import SwinTransformer
from swin_dense.data.video_writer import write_video
from swin_dense.engine.launch import load_config

for host in ('mmdet', 'mmseg', 'mmaction'):
    pytest.importorskip(host, reason='models of all tasks are loaded')

from mmseg.datasets import ADE20KDataset  # noqa: E402

HELPERS = Path(__file__).parent / 'helpers'
PAGE = Path(__file__).parents[1] / 'docs' / 'api.md'
# Name on the page: config in its place, weights, class names.
SMALL = {
    'mask_rcnn_swin_t_coco': (
        'tiny_mask_rcnn',
        'weights.pth',
        ('circle', 'square', 'triangle'),
    ),
    'upernet_swin_t_ade20k': (
        'tiny_upernet',
        'segmentor.pth',
        ADE20KDataset.METAINFO['classes'],
    ),
    'video_swin_t_k400': (
        'tiny_video_swin',
        'recognizer.pth',
        ('right', 'left'),
    ),
}


def programs():
    text = PAGE.read_text(encoding='utf-8')
    return re.findall(r'^```python\n(.*?)^```', text, re.M | re.S)


def prepare(folder):
    """Write the files that the page names; return the names to replace."""
    replaced = {"arch='tiny'": f'arch={NARROW}', "'person'": "'circle'"}
    for name, (helper, weights, classes) in SMALL.items():
        path = HELPERS / f'{helper}.py'
        cfg = load_config(path)
        init_default_scope(cfg.default_scope)
        model = MODELS.build(cfg.model)
        torch.save(
            dict(
                meta=dict(dataset_meta=dict(classes=classes)),
                state_dict=model.state_dict(),
            ),
            folder / weights,
        )
        replaced[f"'{name}'"] = repr(str(path))
    random = np.random.default_rng(0)
    photo = random.integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(folder / 'photo.jpg'), photo)
    write_video(folder / 'clip.mp4', moving_square(0), 10.0)
    backbone = SwinTransformer(arch=NARROW)
    file = folder / 'swin_tiny_patch4_window7_224.pth'
    torch.save(backbone.state_dict(), file)
    return replaced


def test_programs_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    replaced = prepare(tmp_path)
    namespace = {'__name__': 'page'}
    assert len(programs()) >= 8
    for program in programs():
        for name, small in replaced.items():
            program = program.replace(name, small)
        exec(compile(program, str(PAGE), 'exec'), namespace)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'clip.mp4',
        'labels.png',
        'photo.jpg',
        'photo.json',
    ]
    assert cv2.imread('out/photo.jpg').shape == (48, 64, 3)
    shown = capsys.readouterr().out
    assert "SwinTransformer(arch='tiny')" in shown
