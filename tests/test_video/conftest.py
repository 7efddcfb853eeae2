"""A small recognizer, and clips for it."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.moving_squares import CLASSES, moving_square
from swin_dense.data.video_writer import write_video
from swin_dense.engine.launch import load_config

CONFIG = str(Path(__file__).parents[1] / 'helpers' / 'tiny_video_swin.py')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Write random weights whose scores are far apart."""
    torch.manual_seed(0)
    init_default_scope('mmaction')
    model = MODELS.build(load_config(CONFIG).model)
    model.init_weights()
    torch.nn.init.normal_(model.cls_head.fc_cls.weight)
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    torch.save(
        dict(
            meta=dict(dataset_meta=dict(classes=CLASSES)),
            state_dict=model.state_dict(),
        ),
        path,
    )
    return str(path)


@pytest.fixture(scope='module')
def predictor(checkpoint):
    """Load the recognizer."""
    from swin_dense.video.predictor import VideoPredictor

    return VideoPredictor(CONFIG, checkpoint)


@pytest.fixture
def video(tmp_path):
    """Return a function that writes a clip."""

    def write(frames=20, fps=10.0):
        path = tmp_path / f'{frames}.mp4'
        write_video(path, moving_square(0, frames), fps)
        return path

    return write
