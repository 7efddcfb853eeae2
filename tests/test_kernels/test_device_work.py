"""Launches, bytes and waits of a block on a GPU, counted without one.

The block is the first of Swin-T, in mixed precision, on two maps of 800 x 1344
pixels, or a clip of 16 frames; its windows are shifted and padded.
"""

from math import prod

import pytest
import torch

from helpers.device_work import DeviceWork, emulated_autocast
from swin_dense import kernels
from swin_dense.layers import (
    CosineAttention,
    FeedForward,
    SwinBlock,
    WindowAttention,
)
from swin_dense.ops import SizeCache, WindowLayout

# Mixer, maps, window, shift, whether padding is masked.
BLOCKS = {
    'V1': (WindowAttention, (2, 200, 336), (7, 7), (3, 3), False),
    'V2': (CosineAttention, (2, 200, 336), (8, 8), (4, 4), True),
    'video': (WindowAttention, (1, 8, 56, 56), (8, 7, 7), (0, 3, 3), False),
}
# Launches, GB, GB of N x N tensors; forward and backward, then forward alone.
BOUNDS = {
    ('cuda', 'V1'): [(114, 5.4, 0.08), (34, 1.7, 0)],
    ('cuda', 'V2'): [(151, 6.8, 0.1), (42, 2.0, 0)],
    ('cuda', 'video'): [(101, 1.2, 0.1), (29, 0.36, 0)],
    ('triton', 'V1'): [(78, 4.2, 0), (21, 1.4, 0)],
    ('triton', 'V2'): [(111, 4.6, 0), (28, 1.6, 0)],
    ('triton', 'video'): [(78, 0.81, 0), (21, 0.27, 0)],
}
# What training keeps for the backward pass, in MB; plain kernels 588 of V1.
SAVED = {
    ('cuda', 'V1'): 500,
    ('cuda', 'V2'): 555,
    ('cuda', 'video'): 109,
    ('triton', 'V1'): 470,
    ('triton', 'V2'): 470,
    ('triton', 'video'): 91,
}


def work(name, kernel_set, train):
    mixer, (batch, *grid), window, shift, mask_padding = BLOCKS[name]
    block = SwinBlock(
        96,
        mixer(96, window, 3),
        FeedForward(96, 384),
        drop_path=0.1,
        post_norm=mixer is CosineAttention,
    )
    block = block.to('meta').train(train)
    layout = WindowLayout(
        tuple(grid), window, shift, 'roll', mask_padding, mixer.mask_value
    )
    x = torch.empty(batch, *grid, 96, device='meta', requires_grad=train)
    chosen = kernels.available()[kernel_set](SizeCache())
    saved = []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    def run():
        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t)
        with emulated_autocast(), torch.set_grad_enabled(train), hooks:
            out = block(x, layout, chosen)
        if train:
            out.backward(torch.empty_like(out))

    run()  # makes the indices
    saved.clear()
    windows = batch * layout.num_windows
    with DeviceWork(prod(window), windows) as mode:
        run()
    mode.saved = sum(
        storage.nbytes()
        for storage in {
            t.untyped_storage()._cdata: t.untyped_storage() for t in saved
        }.values()
    )
    return mode


@pytest.mark.parametrize('train', [True, False])
@pytest.mark.parametrize('kernel_set, name', BOUNDS)
def test_bounds(kernel_set, name, train):
    on_meta = torch.empty(1, device='meta')
    reason = kernels.available()[kernel_set].refuses(on_meta)
    if reason:
        pytest.skip(reason)
    done = work(name, kernel_set, train)
    launches, size, squares = BOUNDS[kernel_set, name][not train]
    assert done.moved == [] and done.waits == []
    assert done.launches <= launches
    assert done.bytes <= size * 1e9
    assert done.square_bytes <= squares * 1e9
    assert done.saved <= SAVED[kernel_set, name] * 1e6 * train


def test_plain_kernels_do_more():
    """The counter sees what the others avoid."""
    done = work('V1', 'plain', True)
    assert done.square_bytes > 1e9 and done.bytes > 7e9
    assert done.launches > 114
