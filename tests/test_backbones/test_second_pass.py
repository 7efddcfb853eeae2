"""A second forward pass of the same size creates and copies no index."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.kernel_sets import FOR_CPU
from swin_dense import kernels
from swin_dense.backbones import (
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
)

TWO_STAGES = dict(embed_dims=8, depths=(2, 2), num_heads=(1, 2))
MODELS = {
    'V1': (SwinTransformer, TWO_STAGES, (3, 50, 66)),
    'V2': (SwinTransformerV2, dict(arch=TWO_STAGES), (3, 50, 66)),
    'Mini-Swin': (
        MiniSwin,
        dict(arch=dict(TWO_STAGES, blocks=(1, 1)), window_size=7),
        (3, 50, 66),
    ),
    'Swin-MLP': (SwinMLP, dict(arch=TWO_STAGES, window_size=7), (3, 50, 66)),
    # Without experts: which tokens they get is new in each pass.
    'Swin-MoE': (
        SwinMoE,
        dict(arch=TWO_STAGES, num_experts=0, window_size=7),
        (3, 50, 66),
    ),
    'video V2': (
        SwinTransformerV2_3D,
        dict(arch=TWO_STAGES, window_size=(2, 7, 7)),
        (3, 5, 50, 66),
    ),
    'video': (
        SwinTransformer3D,
        dict(arch=TWO_STAGES, window_size=(2, 7, 7)),
        (3, 5, 50, 66),
    ),
}
# Operations that return views.
VIEWS = ('slice', 'select', 'view', 'detach', 'alias', 'expand', 't')


class IndexWork(TorchDispatchMode):
    """Record operations that create an index, move data or synchronise."""

    def __init__(self):
        super().__init__()
        self.found, self.count = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.count += 1
        name = func.overloadpacket.__name__
        results = [x for x in tree_leaves(out) if torch.is_tensor(x)]
        inputs = [x for x in tree_leaves((args, kwargs)) if torch.is_tensor(x)]
        makes_index = name not in VIEWS and any(
            x.dtype in (torch.int32, torch.int64) for x in results
        )
        moves = len({x.device for x in inputs + results}) > 1
        waits = name in ('_local_scalar_dense', 'nonzero', 'equal')
        if makes_index or moves or waits:
            self.found.append(name)
        return out


def run(model, x, train):
    model.train(train)
    if not train:
        with torch.no_grad():
            return model(x)
    out = model(x)
    out = out if isinstance(out, tuple) else (out,)
    return sum(part.sum() for part in out).backward()


def work(model, x, train):
    """Return the index work of a pass, and the number of operations."""
    with IndexWork() as mode:
        run(model, x, train)
    return mode


@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize(
    'device, sets',
    [('meta', 'plain'), *[('cpu', s) for s in FOR_CPU]],
)
def test_a_second_pass_only_computes(device, sets, name, train):
    cls, kwargs, size = MODELS[name]
    model = cls(**kwargs, out_indices=(0, 1), drop_path_rate=0.0).to(device)
    x = torch.randn(2, *size, device=device)
    with kernels.use(sets):
        first = work(model, x, train)
        second = work(model, x, train)
    # The recorder works. Swin-MLP has neither masks nor tables: only sets that
    # read windows by index have something to make.
    assert first.found or name == 'Swin-MLP'
    assert second.found == []
    assert second.count > 50


def test_the_cache_is_bounded_and_stays_at_home():
    model = SwinTransformer(**TWO_STAGES, out_indices=(0, 1)).eval()
    with torch.no_grad():
        for size in range(8, 240, 4):
            model(torch.zeros(1, 3, size, 40))
    cache = model._size_cache
    assert len(cache) == cache.max_entries
    assert len(copy.deepcopy(model)._size_cache) == 0
    assert not any('cache' in key for key in model.state_dict())
