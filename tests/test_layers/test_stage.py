import pytest
import torch
from torch import nn

from swin_dense.layers import FeedForward, SwinBlock, SwinStage, WindowMixer
from swin_dense.ops import HARD_MASK_VALUE


class Record(WindowMixer):
    """Record the layouts of the windows."""

    mask_value = -5.0

    def forward(self, x, layout, kernels):
        self.layout = layout
        return 0 * x


class Unmasked(Record):
    """A mixer that takes no masks."""

    mask_value = None


def make_stage(cls=Record, count=3, **kwargs):
    blocks = [
        SwinBlock(4, cls((4, 5)), FeedForward(4, 4)) for _ in range(count)
    ]
    return SwinStage(blocks, **kwargs)


def layouts(stage, *grid):
    stage(torch.randn(1, *grid, 4))
    return [block.mixer.layout for block in stage.blocks]


def test_windows_are_regular_and_shifted_in_turn():
    first, second, third = layouts(make_stage(), 9, 9)
    assert first.shift == third.shift == (0, 0)
    assert second.shift == (2, 2)
    assert first.window == second.window == (4, 5)
    assert first.mask_value == -5 and not first.mask_padding


def test_windows_shrink_to_small_maps():
    _, shifted, _ = layouts(make_stage(shrink=True), 3, 9)
    assert shifted.window == (3, 5) and shifted.shift == (0, 2)
    stage = make_stage(shrink=True, shift_together=True)
    assert layouts(stage, 3, 9)[1].shift == (0, 0)


def test_masked_padding_takes_the_hard_value():
    layout = layouts(make_stage(mask_padding=True), 9, 9)[0]
    assert layout.mask_padding and layout.mask_value == HARD_MASK_VALUE
    with pytest.raises(ValueError, match='Unmasked takes no masks'):
        make_stage(Unmasked, mask_padding=True)


def test_the_output_is_the_map_before_merging():
    x = torch.randn(1, 4, 5, 4)
    out, following = make_stage()(x)
    assert out is following

    class Halve(nn.Module):
        def forward(self, x, kernels):
            return x / 2

    out, following = make_stage(downsample=Halve())(x)
    assert torch.equal(following, out / 2)


@pytest.mark.parametrize('with_cp', [False, True])
def test_checkpointing_runs_blocks_again(with_cp):
    stage = make_stage(count=1, with_cp=with_cp)
    calls = []
    stage.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    out, _ = stage(torch.randn(1, 4, 5, 4, requires_grad=True))
    out.sum().backward()
    assert len(calls) == 1 + with_cp
