"""Images without annotations can be used in training."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.mark.parametrize('name', ['mask_rcnn', 'cascade'])
def test_losses_and_gradients_are_finite(tmp_path, name):
    config = Config.fromfile(str(CONFIGS / f'{name}_swin_nano_shapes.py'))
    data = config.train_dataloader.dataset
    data.data_root = str(tmp_path)
    data.generate = dict(
        num_images=12, image_size=128, radius=(10, 40), empty=0.5
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(data)
        model = MODELS.build(config.model)
    samples = sorted(
        (dataset[i] for i in range(12)),
        key=lambda s: len(s['data_samples'].gt_instances),
    )
    model.train()
    empty, full = samples[0], samples[-1]
    assert len(empty['data_samples'].gt_instances) == 0
    assert len(full['data_samples'].gt_instances) > 1
    for batch in ([empty], [empty, full], [empty, empty]):
        inputs = model.data_preprocessor(pseudo_collate(batch), True)
        total, parts = model.parse_losses(model(**inputs, mode='loss'))
        model.zero_grad()
        total.backward()
        assert torch.isfinite(total) and total > 0
        assert torch.isfinite(torch.stack(list(parts.values()))).all()
        for key, parameter in model.named_parameters():
            # All parameters get gradients, as data-parallel training needs.
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
