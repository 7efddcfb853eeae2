"""The state in a checkpoint is checked before a run resumes."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from helpers import training
from helpers.saved_runs import EMA, FUSED, changed
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.resume import find_latest


def resume(checkpoint, folder, **kwargs):
    """Train on from a checkpoint, to 6 steps."""
    path = folder / 'iter_5.pth'
    torch.save(checkpoint, path)
    kwargs = {**dict(custom_hooks=EMA, optim_wrapper=FUSED), **kwargs}
    run = training.runner(folder, steps=6, resume=True, **kwargs)
    run.train()
    return run


def test_an_unchanged_checkpoint_is_resumed(saved, tmp_path):
    assert resume(saved, tmp_path).iter == 6


@pytest.mark.parametrize(
    'path, value',
    [
        (('message_hub', 'runtime_info', 'best_score'), np.float32(0.5)),
        (('message_hub', 'log_scalars', 'train/loss'), 3),
        (('meta', 'seed'), 3),
        (('ema_state_dict',), ...),
    ],
)
def test_harmless_changes_are_accepted(saved, tmp_path, path, value):
    assert resume(changed(saved, path, value), tmp_path).iter == 6


@pytest.mark.parametrize('automatic', [True, False])
def test_config_is_not_executed(saved, tmp_path, automatic):
    trace = tmp_path / 'trace'
    code = f'open({str(trace)!r}, "w")'
    checkpoint = changed(saved, ('meta', 'config'), code)
    checkpoint = changed(
        checkpoint, ('message_hub', 'runtime_info', 'cfg'), code
    )
    source = {}
    if not automatic:
        torch.save(checkpoint, tmp_path / 'given.pth')
        source = dict(load_from=str(tmp_path / 'given.pth'))
    run = resume(checkpoint, tmp_path, **source)
    assert run.iter == 6 and not trace.exists()
    # Nor is it handed on to whoever reads the next checkpoint.
    after = read_checkpoint(tmp_path / 'iter_6.pth')
    assert code not in str(after['meta'])
    assert code not in after['message_hub']['runtime_info']['cfg']


OPTIMIZER = ('optimizer', 'state', 0)


@pytest.mark.parametrize(
    'path, value, reason',
    [
        (
            (*OPTIMIZER, 'exp_avg'),
            torch.ones(1),
            r'exp_avg.*layers.0.weight has '
            r'shape \(1,\), expected \(8, 4\)',
        ),
        ((*OPTIMIZER, 'exp_avg_sq'), torch.tensor(0.0), r'shape \(\)'),
        ((*OPTIMIZER, 'exp_avg_sq'), torch.ones(4, 8), r'shape \(4, 8\)'),
        ((*OPTIMIZER, 'exp_avg_sq'), torch.full((8, 4), torch.nan), 'NaN'),
        ((*OPTIMIZER, 'exp_avg_sq'), torch.ones(8, 4).long(), 'torch.int64'),
        ((*OPTIMIZER, 'exp_avg_sq'), 'text', 'is not a tensor'),
        ((*OPTIMIZER, 'exp_avg_sq'), ..., 'lacks entries'),
        ((*OPTIMIZER, 'step'), torch.ones(8), r'shape \(8,\)'),
        ((*OPTIMIZER, 'step'), torch.tensor(torch.inf), 'NaN or infinite'),
        ((*OPTIMIZER, 'more'), torch.ones(8), 'does not use'),
        (('optimizer', 'state', 99), {}, 'state of parameter 99'),
        (
            ('optimizer', 'param_groups', 0, 'params'),
            [0, 1],
            '1 groups with 2',
        ),
        (('optimizer', 'param_groups', 0, 'params'), [0] * 6, 'twice'),
        (('optimizer', 'param_groups', 0, 'lr'), 'fast', "lr is 'fast'"),
        (('optimizer', 'param_groups', 0, 'lr'), float('nan'), 'lr is nan'),
        (('optimizer', 'param_groups', 0, 'betas'), [0.9, 'x'], 'betas is'),
        (('optimizer', 'param_groups', 0, 'fused'), [1], 'fused is'),
        (('optimizer', 'param_groups'), [], '0 groups'),
        (('optimizer', 'state'), [], 'not in the format of PyTorch'),
        (('optimizer',), [], 'not a dictionary'),
        (('param_schedulers',), [], '0 schedules, this run 3'),
        (('param_schedulers', 0), dict(_get_value=1), 'other attributes'),
        (('param_schedulers', 0, 'last_step'), 'x', 'last_step of schedule 0'),
        (('param_schedulers', 0, 'base_values'), [1.0, 2.0], '2 values'),
        (('param_schedulers', 0, '_last_value'), 3.0, 'is not a list'),
        (('param_schedulers', 1, 'milestones'), {1: 1}, 'does not count'),
        (('message_hub',), {}, 'message_hub is not one of mmengine'),
        (
            ('message_hub', 'runtime_info', 'keep_ckpt_ids'),
            ['../x'],
            'keep_ckpt_ids',
        ),
        (
            ('message_hub', 'runtime_info', 'best_ckpt'),
            3,
            'best_ckpt is not a path',
        ),
        (('message_hub', 'runtime_info', 'best_score'), 'x', 'best_score'),
        (('meta', 'seed'), 'x', "seed is 'x'"),
        (('meta', 'seed'), 1 << 40, 'seed is 1099511627776'),
        (
            ('ema_state_dict', 'module.layers.0.weight'),
            torch.ones(1),
            r'averaged weight .layers.0.weight. has shape',
        ),
        (
            ('ema_state_dict', 'module.layers.0.weight'),
            torch.full((8, 4), torch.inf),
            'averaged weight .* infinite',
        ),
        (('ema_state_dict', 'module.more'), torch.ones(1), 'no such weight'),
        (('ema_state_dict',), [], 'averaged weights'),
    ],
)
def test_state_of_another_shape_or_type_is_refused(
    saved, tmp_path, path, value, reason
):
    with pytest.raises(CheckpointError, match=reason) as error:
        resume(changed(saved, path, value), tmp_path)
    assert 'iter_5.pth cannot be resumed from' in str(error.value)


@pytest.mark.parametrize('value', [-1, 'x', True, None, 1 << 70, 2.5])
def test_invalid_iterations_are_refused(saved, tmp_path, value, logged):
    checkpoint = changed(saved, ('meta', 'iter'), value)
    torch.save(checkpoint, tmp_path / 'iter_5.pth')
    with pytest.raises(
        CheckpointError, match=r'intact \(iter_5.pth\): delete'
    ):
        find_latest(tmp_path)
    assert 'iter_5.pth: its iter is' in logged.text
    path = tmp_path / 'given.pth'
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match='given.pth.* its iter is'):
        resume(saved, tmp_path, load_from=str(path))


@pytest.mark.parametrize(
    'optimizer',
    [
        dict(type='SGD', lr=0.01, momentum=0.9),
        dict(type='TorchAdafactor', lr=0.01),
        dict(type='NAdam', lr=0.001),
        dict(type='ASGD', lr=0.001),
        dict(type='Rprop', lr=0.001),
        dict(type='AdamW', lr=0.001, amsgrad=True),
    ],
)
def test_state_of_other_optimizers(tmp_path, optimizer):
    wrapper = dict(optim_wrapper=dict(optimizer=optimizer))
    training.runner(tmp_path, steps=5, **wrapper).train()
    run = training.runner(tmp_path, steps=6, resume=True, **wrapper)
    run.train()
    assert run.iter == 6


def test_history_of_another_statistic(saved, tmp_path):
    resume(saved, tmp_path)
    assert HistoryBuffer([1, 2, 9], [1, 1, 1]).statistics('mean') == 4
