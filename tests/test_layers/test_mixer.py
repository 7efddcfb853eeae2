"""Every window mixer follows the contract; two new ones take few lines."""

from functools import partial

import pytest
import torch

from helpers.kernel_sets import NAMES
from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.backbones.base import SwinPyramid
from swin_dense.backbones.pyramid_config import (
    PyramidConfig,
    StageConfig,
    feed_forward,
)
from swin_dense.kernels import available, choose, use
from swin_dense.layers import (
    CosineAttention,
    FeedForward,
    HeadMixingAttention,
    PatchMerging,
    SpatialMLP,
    SwinBlock,
    SwinStage,
    WindowAttention,
    WindowMixer,
)
from swin_dense.ops import SizeCache, WindowLayout


class WindowMean(WindowMixer):
    """Average the tokens that a token may see, and scale each channel."""

    parameter_prefix = 'pool'
    mask_value = -100.0

    def __init__(self, dim, window_size):
        super().__init__(window_size)
        self.weight = torch.nn.Parameter(torch.ones(dim))

    def mix(self, windows, shared, mask, kernels):
        if mask is None:
            return (windows.mean(1, keepdim=True) * self.weight).expand_as(
                windows
            )
        return (
            mask.softmax(-1).expand(len(windows), -1, -1)
            @ windows
            * (self.weight)
        )


class SlotMLP(WindowMixer):
    """Apply a linear layer over the slots of a window, as in Swin-MLP.

    It takes no masks, so windows are shifted by zeros.
    """

    parameter_prefix = 'spatial_mlp'
    shifts_by = 'pad'

    def __init__(self, dim, window_size):
        super().__init__(window_size)
        tokens = torch.Size(window_size).numel()
        self.weight = torch.nn.Parameter(torch.zeros(tokens, tokens))

    def mix(self, windows, shared, mask, kernels):
        slots = kernels.linear(windows.transpose(1, 2), self.weight, None)
        return slots.transpose(1, 2)

    def reset_parameters(self):
        torch.nn.init.trunc_normal_(self.weight, std=0.02)


MIXERS = {
    'mean': WindowMean,
    'slots': SlotMLP,
    'V1': partial(WindowAttention, num_heads=2),
    'V2': partial(CosineAttention, num_heads=2),
    'Swin-MLP': partial(SpatialMLP, num_heads=2),
    'Mini-Swin': partial(HeadMixingAttention, num_heads=2),
}
# Their weights are for windows of one size.
OF_ONE_SIZE = ('slots', 'Swin-MLP')
LAYOUTS = [
    ((6,), (4,), (0,)),
    ((7, 5), (4, 3), (2, 1)),
    ((8, 6), (4, 3), (2, 0)),
    ((3, 5, 4), (2, 4, 2), (1, 2, 1)),
]
all_mixers = pytest.mark.parametrize('name', MIXERS)
all_layouts = pytest.mark.parametrize('grid, window, shift', LAYOUTS)


def make(name, window, dim=8):
    return randomize(MIXERS[name](dim, window_size=window)).double()


def lay_out(mixer, grid, window, shift):
    return WindowLayout(
        grid, window, shift, mixer.shifts_by, False, mixer.mask_value
    )


@all_mixers
@all_layouts
def test_kernels_agree(name, grid, window, shift):
    mixer = make(name, window)
    block = randomize(SwinBlock(8, mixer, FeedForward(8, 16))).double().eval()
    layout = lay_out(mixer, grid, window, shift)
    x = torch.randn(2, *grid, 8, dtype=torch.float64, requires_grad=True)
    results = []
    for kernels, kernel_set in available().items():
        if kernel_set.refuses(x):
            continue
        with use(kernels):
            out = block(x, layout)
            grads = torch.autograd.grad(
                out.square().sum(), [x, *block.parameters()]
            )
            with torch.no_grad():
                results.append([out, block(x, layout), *grads])
    assert_close(results[0][0], results[0][1], 1e-12)
    for result in results[1:]:
        for first, second in zip(result, results[0]):
            assert_close(first, second, 1e-10)


@all_mixers
def test_windows_and_samples_are_independent(name):
    mixer, kernels = make(name, (4, 4)), choose(torch.empty(1))
    windows = torch.randn(5, 16, 8, dtype=torch.float64)
    shared = mixer.prepare((4, 4), SizeCache())
    whole = mixer.mix(windows, shared, None, kernels)
    assert whole.shape == windows.shape and whole.dtype == windows.dtype
    order = torch.tensor([3, 1])
    assert_close(
        mixer.mix(windows[order], shared, None, kernels), whole[order], 1e-12
    )


@all_mixers
def test_windows_smaller_than_the_nominal(name):
    mixer = make(name, (4, 4))
    if name in OF_ONE_SIZE:
        pytest.skip('its weights are for one size of windows')
    layout = lay_out(mixer, (3, 8), (3, 4), (0, 2))
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    assert mixer(x, layout, choose(x)).shape == x.shape


@all_mixers
def test_width_and_attributes(name):
    mixer = make(name, (4, 3))
    assert mixer.window_size == (4, 3)
    assert mixer.elements_per_window((4, 3)) >= 12 * 12
    assert mixer.shifts_by == 'pad' or mixer.mask_value is not None


@all_mixers
def test_masks_hide(name):
    mixer = make(name, (4,))
    if mixer.mask_value is None:
        pytest.skip('it takes no masks')
    windows = torch.randn(1, 4, 8, dtype=torch.float64)
    other = windows.clone()
    other[:, 3] += 1
    mask = torch.zeros(1, 4, 4, dtype=torch.float64)
    mask[..., 3] = -1e4
    shared, kernels = mixer.prepare((4,), SizeCache()), choose(windows)
    first, second = (
        mixer.mix(w, shared, mask, kernels) for w in (windows, other)
    )
    assert_close(first[:, :3], second[:, :3], 1e-12)


@all_mixers
def test_a_pyramid_of_it(name):
    mixer, mlp = (
        MIXERS[name],
        partial(
            feed_forward, mlp_ratio=2.0, drop=0.0, activation=torch.nn.GELU
        ),
    )
    stage = StageConfig((partial(mixer, window_size=(4, 4)),) * 2, (mlp,) * 2)
    model = SwinPyramid(
        PyramidConfig(
            (4, 4),
            3,
            8,
            (stage,) * 2,
            (0, 1),
            torch.nn.LayerNorm,
            PatchMerging,
        )
    )
    model.init_weights()
    prefix = mixer(8, window_size=(4, 4)).parameter_prefix
    prefix = f'layers.1.blocks.0.{prefix}.'
    assert any(key.startswith(prefix) for key in model.state_dict())
    outputs = model(torch.randn(1, 3, 30, 41))
    assert [out.shape[1:] for out in outputs] == [(8, 8, 11), (16, 4, 6)]
    sum(out.square().sum() for out in outputs).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.abs().sum() >= 0, key
    if name in OF_ONE_SIZE:
        assert 0 < model.layers[0].blocks[0].mixer.weight.std() < 0.03


def test_the_mean_of_a_window_by_hand():
    mixer = WindowMean(1, (2,))
    x = torch.tensor([1.0, 3, 5, 9]).view(1, 4, 1)
    for shift, expected in (0, [2, 2, 7, 7]), (1, [1, 4, 4, 9]):
        layout = lay_out(mixer, (4,), (2,), (shift,))
        for name in NAMES:
            with use(name):
                assert (
                    mixer(x, layout, choose(x)).flatten().tolist() == expected
                )


def test_padding_cannot_be_hidden_from_a_mixer_without_masks():
    block = SwinBlock(8, SlotMLP(8, (4, 4)), FeedForward(8, 16))
    with pytest.raises(ValueError, match='SlotMLP takes no masks'):
        SwinStage([block], mask_padding=True)
