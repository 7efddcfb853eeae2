"""The predicted memory of a step is that of a real one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers.command_line import CONFIG
from swin_dense.engine import step_memory
from swin_dense.engine.launch import load_config
from swin_dense.engine.memory_plan import state_per_byte, switches
from swin_dense.engine.process_memory import status
from swin_dense.engine.step_memory import measure, predict, total_loss
from swin_dense.engine.tasks import task_of
from swin_dense.engine.worst_batch import (
    BatchSize,
    make_batch,
    worst_boxes,
)

FOLDER = Path(CONFIG).parent
CASES = {
    'tiny_mask_rcnn.py': BatchSize(2, (128, 160), 5),
    'tiny_upernet.py': BatchSize(2, (64, 96)),
    'tiny_video_swin.py': BatchSize(2, (1, 8, 64, 64)),
}


def build(name):
    cfg = load_config(FOLDER / name)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
    return model, task_of(cfg)


@pytest.mark.parametrize('name', CASES)
def test_a_prediction_is_the_sum_of_a_real_step(name):
    """The storages of a real step are added up by the same means."""
    if 'mask' not in name:
        pytest.importorskip('mmseg' if 'upernet' in name else 'mmaction')
    model, task = build(name)
    size = CASES[name]
    predicted = predict(model, task, size, state_per_byte=0)
    assert all(p.grad is None for p in model.parameters())
    batch = make_batch(task, size)
    memory = step_memory._Sum()
    for tensor in (*model.parameters(), *model.buffers(), batch.inputs):
        memory.add(tensor)
    with worst_boxes(model, batch), memory:
        total_loss(model, batch).backward()
    masks = 5 * 2 * 128 * 160 if 'mask' in name else 0
    assert predicted.total - masks == pytest.approx(memory.peak, rel=0.05)
    weights = sum(p.numel() * 4 for p in model.parameters())
    assert predicted.gradients == weights
    assert predicted.weights >= weights


def test_ways_to_save_memory_save_it():
    model, task = build('tiny_mask_rcnn.py')
    size = BatchSize(1, (256, 256), 2)
    whole = predict(model, task, size)
    names = []
    for name, _, change in switches(model):
        names.append(name)
        less = predict(model, task, size, change=change)
        assert less.activations <= whole.activations
    assert names[-1] == 'both'
    assert less.activations < whole.activations
    assert not any(getattr(m, 'with_cp', False) for m in model.modules())


def test_a_measured_step_leaves_no_trace():
    model, task = build('tiny_upernet.py')
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    batch = make_batch(task, CASES['tiny_upernet.py'])
    peak = measure(model, batch, reserve=2**26)
    assert torch.equal(torch.rand(1), expected)
    assert peak > status('VmRSS') // 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    'optimizer, expected',
    [
        (dict(type='AdamW', lr=1e-4, fused=True), 2),
        (dict(type='SGD', lr=0.1), 0),
        (dict(type='SGD', lr=0.1, momentum=0.9), 1),
    ],
)
def test_the_state_of_an_optimizer(optimizer, expected):
    assert state_per_byte(optimizer) == expected


def test_numbers_that_are_unknown_are_bounded():
    from torch._subclasses.fake_tensor import FakeTensorMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake = mode.from_tensor(torch.zeros(4, 5))
    with step_memory._Readable(), step_memory._Sum():
        assert (fake > 0).nonzero().shape == (20, 2)
        assert fake[fake > 0].shape == (20,)
        assert fake[torch.tensor([True, False, True, False])].shape == (2, 5)
        assert fake.masked_select(fake > 0).shape == (20,)
        assert fake.sum().item() == 1
        assert fake.numpy().shape == (4, 5)
        fake[fake > 0] = 1.0
        counts = torch.bincount(fake[0].long(), minlength=3)
        assert counts.tolist() == [1, 2, 2]
        with pytest.raises(RuntimeError):
            torch.unique(fake)


def test_a_model_that_cannot_be_predicted(monkeypatch):
    model, task = build('tiny_mask_rcnn.py')
    monkeypatch.setattr(
        step_memory, 'total_loss', lambda model, batch: batch.inputs.unique()
    )
    size = BatchSize(1, (64, 64), 1)
    with pytest.raises(ValueError, match='cannot be predicted: numbers dec'):
        predict(model, task, size)
    monkeypatch.setattr(
        step_memory, 'total_loss', lambda model, batch: batch.inputs.view(7)
    )
    with pytest.raises(ValueError, match='cannot be predicted: it does not'):
        predict(model, task, size)


def test_numbers_that_are_read_as_an_array_are_0():
    """As the matching of queries and objects in DETR reads its costs."""
    fake = FakeTensorMode().from_tensor(torch.ones(2, 3))
    with step_memory._Readable():
        for values in (fake.numpy(), np.asarray(fake)):
            np.testing.assert_array_equal(values, np.zeros((2, 3)))
            assert values.dtype == np.float32


def test_memory_that_is_freed_is_no_longer_counted():
    layer = nn.Linear(256, 256, bias=False)
    memory = step_memory._Sum()
    with memory, torch.no_grad():
        for _ in range(3):
            layer(torch.ones(256, 256))
    one = 256 * 256 * 4
    assert memory.peak == 3 * one  # two inputs or outputs meet
    assert memory.live <= 2 * one
