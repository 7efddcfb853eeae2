"""Bias tables and absolute embeddings are resized."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from swin_dense.checkpoints.position import (
    fit_position,
    inflate,
    resize_absolute_embedding,
    resize_bias_table,
)
from swin_dense.layers.attention import WindowAttention

# Interpolation weights of PyTorch's bicubic kernel.
A = -0.75
# The references below are exact up to rounding in float64.
FLOAT64 = dict(rtol=0, atol=1e-12)
# The official code interpolates in float32, positions included.
FLOAT32 = dict(rtol=0, atol=1e-5)


def cubic(distance):
    d = abs(distance)
    if d <= 1:
        return (A + 2) * d**3 - (A + 3) * d**2 + 1
    if d < 2:
        return A * (d**3 - 5 * d**2 + 8 * d - 4)
    return 0.0


def slow_resize(grid, height, width):
    """Interpolate `(h, w, C)` bicubically, value by value."""

    def matrix(source, target):
        weights = np.zeros((target, source))
        for row in range(target):
            centre = (row + 0.5) * source / target - 0.5
            first = int(np.floor(centre)) - 1
            for tap in range(first, first + 4):
                column = min(max(tap, 0), source - 1)
                weights[row, column] += cubic(centre - tap)
        return weights

    rows = matrix(grid.shape[0], height)
    columns = matrix(grid.shape[1], width)
    return np.einsum('yh,xw,hwc->yxc', rows, columns, grid)


@pytest.mark.parametrize(
    'source, target',
    [(7, 12), (12, 7), (7, 8), (7, (5, 9)), ((3, 6), (4, 2)), (1, 3), (3, 1)],
)
def test_bias_table_against_slow_reference(source, target):

    def offsets(window):
        pair = (window, window) if isinstance(window, int) else window
        return [2 * w - 1 for w in pair]

    h, w = offsets(source)
    table = torch.randn(h * w, 3, dtype=torch.float64)
    resized = resize_bias_table(table, source, target)
    height, width = offsets(target)
    expected = slow_resize(table.view(h, w, 3).numpy(), height, width)
    assert resized.shape == (height * width, 3)
    torch.testing.assert_close(
        resized, torch.from_numpy(expected).flatten(0, 1), **FLOAT64
    )


@pytest.mark.parametrize('source, target', [(7, 12), (12, 7)])
def test_bias_table_as_the_official_code(source, target):
    s1, s2, heads = 2 * source - 1, 2 * target - 1, 4
    table = torch.randn(s1 * s1, heads)
    official = (
        F.interpolate(
            table.permute(1, 0).view(1, heads, s1, s1),
            size=(s2, s2),
            mode='bicubic',
        )
        .view(heads, s2 * s2)
        .permute(1, 0)
    )
    torch.testing.assert_close(
        resize_bias_table(table, source, target), official, **FLOAT32
    )


def test_equal_windows_change_nothing():
    table = torch.randn(169, 3)
    for method in ('bicubic', 'geometric'):
        assert resize_bias_table(table, 7, (7, 7), method) is table
    embedding = torch.randn(1, 196, 8)
    assert resize_absolute_embedding(embedding, (14, 14)) is embedding


def test_constant_stays_and_line_stays_a_line():
    constant = torch.full((169, 2), 0.7, dtype=torch.float64)
    torch.testing.assert_close(
        resize_bias_table(constant, 7, 12),
        torch.full((529, 2), 0.7, dtype=torch.float64),
        **FLOAT64,
    )
    line = torch.arange(13.0).double()[:, None].expand(13, 13).reshape(-1, 1)
    resized = resize_bias_table(line, 7, 12).view(23, 23)
    rows = (torch.arange(23).double() + 0.5) * 13 / 23 - 0.5
    # The kernel with a = -0.75 is exact for constants only: a line is met to
    # a twentieth of its step, away from the border.
    torch.testing.assert_close(
        resized[3:-3], rows[3:-3, None].expand(-1, 23), rtol=0, atol=0.05
    )


def test_mirrored_table_gives_mirrored_table():
    table = torch.randn(13, 13, 2, dtype=torch.float64)
    resized = resize_bias_table(table.flatten(0, 1), 7, 12).view(23, 23, 2)
    mirrored = resize_bias_table(table.flip(0, 1).flatten(0, 1), 7, 12)
    torch.testing.assert_close(
        mirrored.view(23, 23, 2), resized.flip(0, 1), **FLOAT64
    )


@pytest.mark.parametrize(
    'dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
def test_type_is_kept(dtype):
    table = torch.randn(169, 3, dtype=torch.float64).to(dtype)
    resized = resize_bias_table(table, 7, 12)
    assert resized.dtype == dtype
    exact = resize_bias_table(table.double(), 7, 12)
    assert torch.equal(resized, exact.to(dtype))


def test_heads_do_not_mix():
    table = torch.randn(169, 3)
    table[:, 1] = 0
    resized = resize_bias_table(table, 7, 12)
    assert (resized[:, 1] == 0).all() and (resized[:, 0] != 0).all()


def test_time_is_resized_as_height_and_width_are():
    # A table that is a product of its axes: each is resized on its own.
    axes = [torch.randn(size, dtype=torch.float64) for size in (3, 13, 5)]
    table = torch.einsum('t,h,w->thw', *axes).reshape(-1, 1)
    resized = resize_bias_table(table, (2, 7, 3), (4, 5, 6))
    expected = [
        torch.from_numpy(slow_resize(axis.view(-1, 1, 1).numpy(), size, 1))
        for axis, size in zip(axes, (7, 9, 11))
    ]
    torch.testing.assert_close(
        resized.view(7, 9, 11),
        torch.einsum('t,h,w->thw', *(e.flatten() for e in expected)),
        **FLOAT64,
    )


def test_clips_of_the_same_length_are_resized_frame_by_frame():
    table = torch.randn(15 * 169, 3)
    resized = resize_bias_table(table, (8, 7, 7), (8, 12, 12)).view(15, -1, 3)
    for before, after in zip(table.view(15, 169, 3), resized):
        torch.testing.assert_close(
            after, resize_bias_table(before, 7, 12), rtol=0, atol=1e-7
        )


@pytest.mark.parametrize('method', ['bicubic', 'geometric'])
def test_time_alone(method):
    table = torch.randn(15, 13, 13, 2)
    # Only time is resized, and the table is constant in time.
    table[:] = table[:1]
    resized = resize_bias_table(
        table.flatten(0, 2), (8, 7, 7), (16, 7, 7), method
    )
    torch.testing.assert_close(
        resized.view(31, 13, 13, 2),
        table[:1].expand(31, -1, -1, -1),
        rtol=0,
        atol=1e-6,
    )


def test_wrong_windows_and_methods_are_errors():
    with pytest.raises(ValueError, match=r'windows of 12 has 529 rows.*169'):
        resize_bias_table(torch.zeros(169, 3), 12, 7)
    with pytest.raises(ValueError, match='another number of axes'):
        resize_bias_table(torch.zeros(169, 3), (7, 7), (8, 7, 7))
    with pytest.raises(ValueError, match="one of bicubic, geometric, got 'x'"):
        resize_bias_table(torch.zeros(169, 3), 7, 12, 'x')


def test_fit_position_by_the_window_that_is_known():
    module = torch.nn.Module()
    module.attn = WindowAttention(6, (12, 8), 3)
    name, table = 'attn.relative_position_bias_table', torch.randn(345, 3)
    # The rows fit the model's window, so that window is assumed.
    assert fit_position(module, name, table) == (table, None)
    fitted, change = fit_position(module, name, table, source_window=(8, 12))
    assert change == ('bias tables 15x23 -> 23x15', 'bicubic')
    assert torch.equal(fitted, resize_bias_table(table, (8, 12), (12, 8)))
    fitted, change = fit_position(
        module, name, torch.randn(169, 3), 'geometric'
    )
    assert change == ('bias tables 13x13 -> 23x15', 'geometric')
    with pytest.raises(ValueError, match='7x10, 10x7'):
        fit_position(module, name, torch.randn(13 * 19, 3))


def test_other_heads_are_left_to_the_caller():
    module = torch.nn.Module()
    module.attn = WindowAttention(6, (12, 12), 3)
    table = torch.randn(169, 4)
    assert fit_position(
        module, 'attn.relative_position_bias_table', table
    ) == (table, None)


def test_inflation():
    weights = {
        'patch_embed.proj.weight': torch.randn(8, 3, 4, 4),
        'layers.0.blocks.0.attn.relative_position_bias_table': torch.randn(
            169, 3
        ),
        'layers.0.blocks.0.norm1.weight': torch.randn(8),
    }
    inflated = inflate(weights, depth=8, patch_depth=2)
    patch, table, norm = inflated.values()
    image = torch.randn(1, 3, 8, 8)
    still = image[:, :, None].expand(-1, -1, 2, -1, -1)
    torch.testing.assert_close(
        F.conv3d(still, patch, stride=(2, 4, 4))[:, :, 0],
        F.conv2d(image, weights['patch_embed.proj.weight'], stride=4),
        rtol=0,
        atol=1e-4,
    )
    assert patch.shape == (8, 3, 2, 4, 4) and patch.is_contiguous()
    assert table.shape == (15 * 169, 3)
    for step in table.view(15, 169, 3):
        assert torch.equal(step, list(weights.values())[1])
    assert norm is weights['layers.0.blocks.0.norm1.weight']


def test_absolute_embedding_against_slow_reference():
    embedding = torch.randn(1, 6 * 6, 5, dtype=torch.float64)
    expected = slow_resize(embedding.view(6, 6, 5).numpy(), 9, 5)
    torch.testing.assert_close(
        resize_absolute_embedding(embedding, (9, 5)),
        torch.from_numpy(expected).flatten(0, 1)[None],
        **FLOAT64,
    )


def test_absolute_embedding_of_the_dense_code():
    # The official dense code has (1, C, h, w), which implies the grid.
    embedding = torch.randn(1, 5, 4, 9, dtype=torch.float64)
    tokens = embedding.flatten(2).transpose(1, 2)
    assert torch.equal(resize_absolute_embedding(embedding, (4, 9)), tokens)
    arguments = resize_absolute_embedding(tokens, (6, 6), source_grid=(4, 9))
    assert arguments.shape == (1, 36, 5)
    assert torch.equal(resize_absolute_embedding(embedding, (6, 6)), arguments)


def test_absolute_embedding_of_unknown_grid_is_an_error():
    with pytest.raises(ValueError, match='give the source_grid'):
        resize_absolute_embedding(torch.zeros(1, 10, 4), (4, 4))
