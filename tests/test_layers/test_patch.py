import pytest
import torch

from helpers.models import randomize
from helpers.reference import assert_close
from swin_dense.layers import PatchEmbed, PatchMerging


@pytest.mark.parametrize(
    'patch, size, grid',
    [((4, 4), (9, 16), (3, 4)), ((2, 4, 4), (3, 4, 5), (2, 1, 2))],
)
def test_embedding_pads_to_whole_patches(patch, size, grid):
    embed = randomize(PatchEmbed(3, 8, patch))
    x = torch.randn(2, 3, *size)
    out = embed(x)
    assert out.shape == (2, *grid, 8)
    larger = torch.zeros(2, 3, *[g * p for g, p in zip(grid, patch)])
    larger[(..., *map(slice, size))] = x
    assert torch.equal(out, embed(larger))


def test_merging_order_by_hand():
    merging = PatchMerging(1, norm=None)
    torch.nn.init.zeros_(merging.reduction.weight)
    # top left, bottom left, top right, bottom right of the official order
    merging.reduction.weight.data[0] = torch.tensor([1.0, 10, 100, 1000])
    x = torch.tensor([[1.0, 2], [3, 4]]).view(1, 2, 2, 1)
    assert merging(x)[0, 0, 0, 0] == 1 + 30 + 200 + 4000


def test_merging_pads_odd_sizes():
    merging = randomize(PatchMerging(4))
    x = torch.randn(2, 5, 7, 4)
    padded = torch.zeros(2, 6, 8, 4)
    padded[:, :5, :7] = x
    assert merging(x).shape == (2, 3, 4, 8)
    assert torch.equal(merging(x), merging(padded))


def test_merging_leaves_time_alone():
    merging = randomize(PatchMerging(4))
    clip = torch.randn(2, 3, 4, 6, 4)
    frames = torch.stack([merging(frame) for frame in clip.unbind(1)], 1)
    assert_close(merging(clip), frames, 1e-6)


def test_merging_norms_afterwards():
    merging = randomize(PatchMerging(4, post_norm=True)).double()
    x = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    assert merging.norm.weight.shape == (8,)
    merging.norm, norm = torch.nn.Identity(), merging.norm
    expected = norm(merging(x))
    merging.norm = norm
    assert_close(merging(x), expected, 1e-12)
