"""Two processes that share experts give what one process gives."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from helpers.models import randomize
from swin_dense.backbones import SwinMoE
from swin_dense.backbones.swin_moe import take_auxiliary_loss
from swin_dense.checkpoints.load import load_backbone
from swin_dense.layers.expert_parallel import gathered_experts, split_experts

SIZES = dict(embed_dims=8, depths=(1, 2, 2), num_heads=(1, 2, 2))
STEPS = 2
CASES = {
    'top 1': dict(),
    'top 2, recomputed': dict(top_value=2, with_cp=True, mlp_fc2_bias=True),
    # Nearly all tokens go to experts of the first process.
    'uneven': dict(capacity_factor=0.0),
}
# Sums of float64 in another order.
TOLERANCE = 1e-10


def make(case):
    torch.manual_seed(0)
    model = SwinMoE(
        SIZES,
        num_experts=4,
        window_size=3,
        moe_drop=0.0,
        drop_path_rate=0.0,
        # Noise would depend on the order of the passes.
        gate_noise=0.0,
        is_gshard_loss=True,
        **CASES[case],
    )
    model = randomize(model).double().train()
    if case == 'uneven':
        for layer in model.expert_layers:
            layer.router.wg.weight.data[2:] *= 1e-3
            layer.router.wg.weight.data[:2] *= 5
    return model


def run(model, image):
    """Return the outputs and the two losses of an image."""
    outputs = model(image)
    auxiliary = take_auxiliary_loss(model)
    return outputs, sum(out.square().mean() for out in outputs), auxiliary


def sgd(model):
    return torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=1e-2
    )


def work(rank, port, folder):
    """Train in one of two processes, and write the results of each."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    dist.init_process_group('gloo', rank=rank, world_size=2)
    results = {}
    for case in CASES:
        model = make(case)
        split_experts(model)
        whole = sum(p.numel() for p in make(case).parameters())
        parallel = DistributedDataParallel(model)
        optimizer = sgd(model)
        record = results[case] = dict(
            held=sum(p.numel() for p in model.parameters()) / whole, steps=[]
        )
        for image in images():
            outputs, loss, auxiliary = run(parallel, image[rank : rank + 1])
            (loss + auxiliary).backward()
            record['steps'].append(
                [loss.detach(), auxiliary.detach()]
                + [out.detach() for out in outputs]
            )
            optimizer.step()
            optimizer.zero_grad()
        with gathered_experts(parallel):
            record['state'] = {
                name: value.clone()
                for name, value in model.state_dict().items()
            }
        # Loading takes the experts of this process from a whole checkpoint.
        changed = make(case).state_dict()
        load_backbone(model, changed)
        rows = slice(2 * rank, 2 * rank + 2)
        record['loads'] = all(
            torch.equal(
                value, changed[name][rows if '.experts.' in name else ...]
            )
            for name, value in model.state_dict().items()
        )
        model.eval()
        with torch.no_grad():
            record['evaluated'] = model(images()[0])
    torch.save(results, folder / f'{rank}.pth')
    dist.destroy_process_group()


def images():
    generator = torch.Generator().manual_seed(1)
    size = (STEPS, 2, 3, 28, 20)
    return torch.randn(size, dtype=torch.float64, generator=generator)


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('processes')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, folder), nprocs=2)
    return [
        torch.load(folder / f'{rank}.pth', weights_only=True)
        for rank in range(2)
    ]


@pytest.mark.skipif(
    not dist.is_available() or not dist.is_gloo_available(),
    reason='torch was built without gloo',
)
@pytest.mark.parametrize('case', CASES)
def test_two_processes_equal_one(results, case):
    model = make(case)
    evaluated = make(case).eval()
    optimizer = sgd(model)
    first, second = (result[case] for result in results)
    for step, image in enumerate(images()):
        for rank, record in enumerate((first, second)):
            outputs, loss, auxiliary = run(model, image[rank : rank + 1])
            expected = [loss, auxiliary, *outputs]
            for actual, value in zip(record['steps'][step], expected):
                assert (actual - value).abs().max() < TOLERANCE
            ((loss + auxiliary) / 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    start = make(case).state_dict()
    for name, value in model.state_dict().items():
        assert first['state'][name].shape == value.shape, name
        assert (first['state'][name] - value).abs().max() < TOLERANCE, name
        if '.experts.' in name:
            assert len(second['state'][name]) == 2
        trained = dict(model.named_parameters())[name].requires_grad
        assert torch.equal(value, start[name]) != trained, name
    with torch.no_grad():
        outputs = evaluated(images()[0])
    for record in (first, second):
        assert record['loads']
        assert 0.5 < record['held'] < 0.8
        for actual, value in zip(record['evaluated'], outputs):
            assert (actual - value).abs().max() < TOLERANCE


def test_bad_numbers_of_experts(tmp_path):
    dist.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1
    )
    try:
        with pytest.raises(ValueError, match='Linear has no experts'):
            split_experts(torch.nn.Linear(2, 2))
        split_experts(make('top 1'))  # one process holds all
    finally:
        dist.destroy_process_group()
