"""Length and learning rate of a training on other data."""

import pytest
from mmengine.config import Config

from swin_dense.config_files import find_config
from swin_dense.engine.config_text import assignments
from swin_dense.engine.schedule import MIN_UPDATES, fit_schedule


def fitted(tmp_path, recipe, num_items, **kwargs):
    """Return a recipe with its new schedule, and the sentence on it."""
    path = find_config(recipe)
    cfg = Config.fromfile(str(path))
    kwargs.setdefault('batch_size', cfg.train_dataloader.batch_size)
    settings, note = fit_schedule(cfg, num_items, **kwargs)
    file = tmp_path / 'fitted.py'
    file.write_text(f"_base_ = '{path}'\n{assignments(settings)}")
    return Config.fromfile(str(file)), note


def test_many_images_keep_the_epochs(tmp_path):
    cfg, note = fitted(
        tmp_path, 'mask_rcnn_swin_t_coco', 4000, num_processes=8
    )
    assert cfg.train_cfg.max_epochs == 36
    assert cfg.train_cfg.val_interval == 1
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.type, warm_up.end) == ('LinearLR', 500)
    assert (steps.end, steps.milestones) == (36, [27, 33])
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    assert cfg.auto_scale_lr.base_batch_size == 16
    assert note.startswith('36 epochs of 250 steps, learning rate 0.0001 (')


def test_few_images_are_seen_more_often(tmp_path):
    cfg, note = fitted(tmp_path, 'mask_rcnn_swin_t_coco', 20)
    assert cfg.train_cfg.max_epochs == 200 == MIN_UPDATES / 10
    assert cfg.train_cfg.val_interval == 10
    assert cfg.default_hooks.checkpoint.interval == 10
    warm_up, steps = cfg.param_scheduler
    assert warm_up.end == 200  # a tenth of the updates
    assert (steps.end, steps.milestones) == (200, [150, 183])
    # By the square root of 2 / 16.
    assert cfg.optim_wrapper.optimizer.lr == 3.5e-5
    assert cfg.auto_scale_lr.base_batch_size == 2
    assert 'square root of 2/16' in note


@pytest.mark.parametrize(
    'images, batch, iterations',
    [
        (10, 2, 2000),  # the least
        (1000, 2, 50_000),  # a hundred passes
        (20210, 16, 126_400),
        (200_000, 16, 160_000),  # the recipe's
    ],
)
def test_lengths_in_iterations(tmp_path, images, batch, iterations):
    cfg, _ = fitted(
        tmp_path, 'upernet_swin_t_ade20k', images, batch_size=batch
    )
    assert cfg.train_cfg.max_iters == iterations
    warm_up, decay = cfg.param_scheduler
    assert warm_up.end == min(1500, iterations // 10)
    assert (decay.begin, decay.end) == (0, iterations)


def test_epochs_of_the_user(tmp_path):
    cfg, _ = fitted(tmp_path, 'video_swin_t_k400', 30, batch_size=8, epochs=1)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (1, 1)
    warm_up, cosine = cfg.param_scheduler
    # One of four steps, so that begin and end differ.
    assert (warm_up.begin, warm_up.end) == (0, 0.25)
    assert (cosine.end, cosine.T_max) == (1, 1)
    cfg, _ = fitted(
        tmp_path, 'mask_rcnn_swin_nano_own', 40, batch_size=4, epochs=30
    )
    assert cfg.train_cfg == dict(
        type='IterBasedTrainLoop', max_iters=300, val_interval=15
    )
    warm_up, cosine = cfg.param_scheduler
    assert warm_up.end == cosine.begin == 30
    assert (cosine.end, cosine.T_max) == (300, 270)
    # A single step.
    cfg, _ = fitted(
        tmp_path, 'mask_rcnn_swin_nano_own', 3, batch_size=4, epochs=1
    )
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.end, cosine.begin, cosine.end) == (1, 0, 1)
