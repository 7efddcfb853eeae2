"""Out of memory: what did not fit and what would, or steps in parts."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import nn
from torch.utils.data import Dataset

from helpers import training
from helpers.command_line import CONFIG, error_of, run
from swin_dense.engine import out_of_memory
from swin_dense.engine.out_of_memory import (
    OutOfMemory,
    describe_batch,
    find_stage,
    is_out_of_memory,
)

CPU_TEXT = (
    '[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: '
    "can't allocate memory: you tried to allocate 99 bytes. Error code 12"
)


@pytest.mark.parametrize(
    'error, expected',
    [
        (RuntimeError(CPU_TEXT), True),
        (torch.OutOfMemoryError('CUDA out of memory. Tried to'), True),
        (RuntimeError('CUDA error: out of memory'), True),
        (
            RuntimeError('cuBLAS: CUBLAS_STATUS_ALLOC_FAILED when calling'),
            True,
        ),
        (MemoryError(), True),
        (OutOfMemory('explained before'), False),
        (RuntimeError('shape [2] is invalid'), False),
        (ValueError('out of memory'), False),
        (None, False),
    ],
)
def test_errors_of_allocators_are_known(error, expected):
    assert is_out_of_memory(error) is expected


class Squares(Dataset):
    """Small images in the format of mmdet's loaders."""

    metainfo = dict(classes=training.CLASSES)

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(24, 3, 4, 4, generator=generator)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index])


class Small(BaseModel):
    """A network that has memory for some images at a time."""

    def __init__(self, room=100, where='layer'):
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(48, 1)
        self.room = room
        self.where = where
        self.seen = []

    def forward(self, inputs, mode='loss'):
        x = torch.stack(inputs).flatten(1)
        self.seen.append(len(x))
        y = self.layer(x)
        if len(x) > self.room:
            if self.where == 'backward':
                y = Fails.apply(y)
            else:
                raise RuntimeError(CPU_TEXT)
        return dict(loss=(y - 1).square().mean())


class Fails(torch.autograd.Function):
    """Has no memory for its backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')


def train(folder, model, accumulate=False, counts=1, batch=6):
    runner = training.runner(
        folder,
        steps=8,
        model=model,
        train_dataloader=dict(
            dataset=Squares(),
            batch_size=batch,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.01), accumulative_counts=counts
        ),
        param_scheduler=None,
        custom_hooks=[
            dict(type='swin_dense.MemoryHook', accumulate=accumulate)
        ],
    )
    runner.train()
    return runner.model.layer.weight.detach()


@pytest.mark.parametrize('where', ['layer', 'backward'])
@pytest.mark.parametrize('counts', [1, 2])
def test_a_batch_in_parts_gives_the_same_weights(
    tmp_path, capsys, where, counts
):
    whole = train(tmp_path / 'a', Small(), counts=counts)
    model = Small(room=2, where=where)
    parts = train(tmp_path / 'b', model, True, counts)
    if where == 'layer' or counts == 1:
        torch.testing.assert_close(parts, whole)
    # six do not fit, nor do three; after this no larger part is tried
    assert model.seen[:5] == [6, 3, 2, 2, 2]
    assert set(model.seen[5:]) == {2}
    text = capsys.readouterr().out
    assert 'a batch is run in 2 parts, whose gradients are added' in text
    assert 'a batch is run in 3 parts' in text
    assert '6 images of 4 x 4 pixels' in text


def test_an_image_that_does_not_fit_alone(tmp_path):
    with pytest.raises(OutOfMemory, match='iteration 1: memory ran out in'):
        train(tmp_path, Small(room=0), True)


@pytest.mark.parametrize(
    'where, stage', [('layer', 'forward pass'), ('backward', 'backward pass')]
)
def test_the_stage_is_named(tmp_path, where, stage):
    with pytest.raises(OutOfMemory) as caught:
        train(tmp_path, Small(room=3, where=where))
    text = str(caught.value)
    assert f'memory ran out in the {stage}: 6 images of 4 x 4 pixels' in text
    assert 'float32' in text


def test_the_innermost_module_and_the_optimizer_are_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(RuntimeError) as caught:
        model(torch.ones(1, 2))
    assert find_stage(caught.value, model) == 'forward pass of 1.0'
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def fail():
        raise RuntimeError(CPU_TEXT)

    with pytest.raises(RuntimeError) as caught:
        optimizer.step(fail)
    assert find_stage(caught.value, model) == out_of_memory.UPDATE


def test_a_batch_is_described():
    class Sample:
        metainfo = dict(img_path='a/x.jpg')
        gt_instances = InstanceData(bboxes=torch.zeros(7, 4))

    data = dict(
        inputs=[torch.zeros(3, 30, 40), torch.zeros(3, 50, 20)],
        data_samples=[Sample(), Sample()],
    )
    assert describe_batch(data) == (
        '2 images of 50 x 40 pixels, with 7, 7 objects (a/x.jpg, a/x.jpg)'
    )
    assert describe_batch([1, 2]) == 'a batch of unknown size'


def test_remedies_of_a_detector_fit_by_the_prediction(
    tmp_path, monkeypatch, capsys
):
    """Memory runs out in the neck."""
    from mmdet.models import FPN

    def fail(self, inputs):
        raise RuntimeError(CPU_TEXT)

    monkeypatch.setattr(out_of_memory, 'status', lambda field: 0)
    monkeypatch.setattr(
        out_of_memory, 'available_memory', lambda device: 10**12
    )
    forward = FPN.forward
    monkeypatch.setattr(FPN, 'forward', fail)

    def predict(*args):
        with monkeypatch.context() as patch:
            patch.setattr(FPN, 'forward', forward)
            return predicted(*args)

    predicted = out_of_memory.predict
    monkeypatch.setattr(out_of_memory, 'predict', predict)
    status = run(
        'train',
        CONFIG,
        *('--work-dir', tmp_path / 'work', '--cfg-options'),
        f'data_root={tmp_path}/shapes',
        'train_dataloader.batch_size=4',
    )
    error = error_of(capsys, status)
    assert 'ran out in the forward pass of neck: 4 images of 64 x 64' in error
    assert 'objects (' in error and 'float32' in error
    assert (
        'What fits: --cfg-options train_dataloader.batch_size=2 '
        'optim_wrapper.accumulative_counts=2' in error
    )
    assert '; or --cfg-options' in error


def test_several_processes_cannot_repeat_a_step():
    class Run:
        world_size = 2
        cfg = Config()

    with pytest.raises(ValueError, match='accumulate-on-oom is for a single'):
        out_of_memory.MemoryHook(accumulate=True).before_train(Run())


@pytest.mark.skipif(sys.platform != 'linux', reason='limits are of Linux')
def test_a_limit_of_the_system(tmp_path):
    """The allocator's own error, in a process that may not grow."""
    folder = Path(__file__).parents[1]
    code = f"""
        import resource, sys
        sys.path[:0] = [{str(folder)!r}, {str(folder.parent)!r}]
        import torch
        torch.set_num_threads(1)
        from test_engine import test_out_of_memory as tests
        from swin_dense.engine.process_memory import status
        class Large(tests.Small):
            def forward(self, inputs, mode='loss'):
                kept = torch.ones(len(inputs), 2**27)
                return super().forward(inputs, mode)
        tests.train({str(tmp_path / 'first')!r}, tests.Small())
        most = status('VmSize') + 2 * 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        model = Large()
        tests.train({str(tmp_path / 'second')!r}, model, True)
        print('parts', sorted(set(model.seen)))
    """
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'parts [3]' in done.stdout
