"""Two processes train as one process does, with all memory savers."""

import copy
import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from helpers.models import make
from swin_dense.backbones import SwinTransformerV2

STEPS = 2
# Sums of float64 in another order.
TOLERANCE = 1e-10


def make_trainable(**kwargs):
    torch.manual_seed(0)
    model = make(SwinTransformerV2, drop_path_rate=0.0, **kwargs)
    return model.double().train()


def adamw(parameters):
    return torch.optim.AdamW(
        [p for p in parameters if p.requires_grad], lr=1e-3
    )


def zero(parameters):
    """Return the optimizer whose state is split over processes."""
    from mmengine.optim.optimizer import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(
        [p for p in parameters if p.requires_grad],
        optimizer_type='AdamW',
        lr=1e-3,
    )


def shard(model):
    """Split parameters, gradients and optimizer state block by block."""
    from torch.distributed.fsdp import fully_shard

    from swin_dense.layers import SwinBlock

    for module in model.modules():
        if isinstance(module, SwinBlock):
            fully_shard(module)
    return fully_shard(model)


def train(model, optimizer, images, group=1):
    """Train for a few steps on the mean loss of groups of images."""
    for _ in range(STEPS):
        for image in images:
            loss = sum(out.square().mean() for out in model(image[None]))
            (loss / group).backward()
        optimizer.step()
        optimizer.zero_grad()


def state_size(optimizer):
    """Count the numbers in the optimizer state of this process."""
    optimizer = getattr(optimizer, 'optim', optimizer)  # the part of ZeRO
    values = (v for state in optimizer.state.values() for v in state.values())
    return sum(
        v.to_local().numel() if hasattr(v, 'to_local') else v.numel()
        for v in values
    )


def work(rank, port, folder):
    """Train in one of two processes; the first writes the results."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=2)
    images = torch.randn(2, 3, 48, 60, dtype=torch.float64).split(1)
    for image in images:
        dist.broadcast(image, 0)
    current = [images[rank][0]]
    saving = dict(with_cp=True, sequential_attention=True)
    results = {'images': [image[0] for image in images]}
    for name, kwargs, wrap, optimize in (
        ('ddp', saving, DistributedDataParallel, adamw),
        (
            'frozen',
            dict(saving, frozen_stages=1),
            DistributedDataParallel,
            adamw,
        ),
        ('zero', saving, DistributedDataParallel, zero),
        ('shard', saving, shard, adamw),
    ):
        model = wrap(make_trainable(**kwargs))
        optimizer = optimize(model.parameters())
        train(model, optimizer, current)
        state = {
            key.removeprefix('module.'): value.full_tensor()
            if hasattr(value, 'full_tensor')
            else value
            for key, value in model.state_dict().items()
        }
        results[name] = copy.deepcopy(state), state_size(optimizer)
    if rank == 0:
        torch.save(results, folder / 'results.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, folder), nprocs=2)
    return torch.load(folder / 'results.pth', weights_only=True)


@pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(),
    reason='torch was built without gloo',
)
@pytest.mark.parametrize('name', ['ddp', 'frozen', 'zero', 'shard'])
def test_two_processes_train_as_one(results, name):
    model = make_trainable(frozen_stages=1 if name == 'frozen' else -1)
    start = copy.deepcopy(model.state_dict())
    optimizer = adamw(model.parameters())
    train(model, optimizer, results['images'], group=2)
    state, size = results[name]
    for key, value in model.state_dict().items():
        assert (state[key] - value).abs().max() < TOLERANCE, key
        trained = dict(model.named_parameters())[key].requires_grad
        assert torch.equal(value, start[key]) != trained, key
    whole = state_size(optimizer)
    if name in ('zero', 'shard'):
        assert 0.4 * whole < size < 0.6 * whole
    else:
        assert size == whole
