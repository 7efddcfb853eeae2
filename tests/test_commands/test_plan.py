"""`swin-dense plan` and `swin-dense train --plan`."""

import json

import pytest
import torch

from helpers.command_line import CONFIG, error_of, run
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine import memory_plan, out_of_memory


@pytest.fixture
def no_memory(monkeypatch):
    """A machine with a hundredth of what is needed."""
    for module in (memory_plan, out_of_memory):
        monkeypatch.setattr(module, 'available_memory', lambda device: 10**7)


def test_a_plan_needs_no_data(tmp_path, capsys):
    out = tmp_path / 'plan.json'
    arguments = ['--shape', 90, 60, '--objects', 3, '--no-run', '--out', out]
    assert run('plan', CONFIG, *arguments, '--batch-size', 4) == 0
    text = capsys.readouterr().out
    assert 'Largest batch: 4 images of 96 x 64 pixels, 3 objects each' in text
    assert 'measured' not in text
    plan = json.loads(out.read_text())
    assert plan['measured'] is None and plan['fits'] is True
    assert [way['options'] for way in plan['ways']] == [
        '',
        'model.backbone.with_cp=True',
        'model.backbone.sequential_attention=True',
        'model.backbone.with_cp=True model.backbone.sequential_attention=True',
        '',
    ]
    configured, checkpointed = plan['ways'][:2]
    assert checkpointed['needed'] < configured['needed']
    assert checkpointed['fits'] > configured['fits'] > 4
    rest = plan['available'] * memory_plan.SAFE - configured['needed']
    assert configured['fits'] == 4 + int(rest // configured['per_image'])


def test_a_plan_of_a_data_set_is_measured(tmp_path, capsys):
    options = ['--cfg-options', f'data_root={tmp_path}/shapes']
    assert run('plan', CONFIG, *options) == 0
    text = capsys.readouterr().out
    assert 'Largest batch: 1 image of 64 x 64 pixels, ' in text
    assert 'measured peak' in text


def test_a_training_that_does_not_fit(tmp_path, capsys, no_memory):
    assert run('plan', CONFIG, '--shape', 64, 64) == 1
    text = capsys.readouterr().out
    assert 'This training does not fit.' in text and 'measured' not in text
    status = run(
        'train',
        CONFIG,
        *('--plan', '--work-dir', tmp_path / 'work', '--cfg-options'),
        f'data_root={tmp_path}/shapes',
    )
    error = error_of(capsys, status)
    assert 'the largest batch does not fit: 1 image of 64 x 64' in error
    assert 'nothing that the planner tried fits' in error
    assert not (tmp_path / 'work').exists()


def test_a_plan_does_not_change_the_training(tmp_path, capsys):
    weights = []
    for name, options in (('a', []), ('b', ['--plan'])):
        folder = tmp_path / name
        status = run(
            'train',
            CONFIG,
            *(*options, '--seed', 0, '--work-dir', folder, '--cfg-options'),
            f'data_root={tmp_path}/shapes',
        )
        assert status == 0
        weights.append(read_checkpoint(folder / 'iter_2.pth'))
    assert 'Largest batch: 1 image of 64 x 64' in capsys.readouterr().out
    first, second = (each['state_dict'] for each in weights)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize(
    'options, message',
    [
        (['--shape', 5], '--shape takes height and width, got [5]'),
        (['--shape', 0, 5], '--shape must be positive'),
        (['--batch-size', 0], '--batch-size must be positive'),
    ],
)
def test_mistakes(options, message, capsys):
    assert message in error_of(capsys, run('plan', CONFIG, *options))
