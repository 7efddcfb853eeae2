import pytest
import torch

from swin_dense.layers import DropPath


def test_drop_path_keeps_the_expectation():
    drop = DropPath(0.25)
    out = drop(torch.ones(4000, 2, 3))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out[:, 0, 0] == 0).float().mean() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(out[:, 0, 0], out[:, 1, 2])
    drop.eval()
    assert torch.equal(drop(out), out)


@pytest.mark.parametrize('rate', [-0.1, 1.0])
def test_drop_path_refuses_a_rate(rate):
    with pytest.raises(ValueError, match=r'must be in \[0, 1\)'):
        DropPath(rate)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_drop_path_is_exact_in_16_bits(dtype):
    """1 / 0.9 is 1.1094 in bfloat16, by which every branch would be off."""
    drop = DropPath(0.1).train()
    branch = torch.linspace(1, 2, 400).view(100, 4).to(dtype)
    out = drop(branch)
    kept = out.any(1)
    assert 70 < kept.sum() < 100 and out.dtype == dtype
    exact = (branch.double() / 0.9).to(dtype)
    assert torch.equal(out[kept], exact[kept])
