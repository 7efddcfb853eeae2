"""Compare methods to resize position biases on generated surfaces.

This prints the table in docs/notes/position_bias.md. A surface has a value at
every offset. Its values at the offsets of a window are a bias table. Each
method resizes this table to another window, and the error is the difference
to the values of the surface. The true value at an offset of the new window
depends on the reason for the new window:

- image: the image has more pixels, and a token shows a smaller part of it.
  Offset d then is d * source / target.
- context: a token shows the same part of the image, and windows hold more
  tokens. Offset d then is d.
"""

import argparse
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from swin_dense.checkpoints.interpolation import METHODS
from swin_dense.checkpoints.position import resize_bias_table
from swin_dense.engine import cli

WINDOWS = ((7, 8), (7, 12), (7, 16), (12, 7))
Surface = Callable[[Tensor, Tensor], Tensor]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense compare-interpolation')
    cli.add_debug_argument(parser)
    return parser


def smooth(y: Tensor, x: Tensor) -> Tensor:
    """Return a Gaussian with a standard deviation of three tokens."""
    return torch.exp(-(y**2 + x**2) / (2 * 3**2))


def peaked(y: Tensor, x: Tensor) -> Tensor:
    """Return a peak that falls to a third within a token."""
    return torch.exp(-torch.hypot(y, x))


def random(y: Tensor, x: Tensor) -> Tensor:
    """Return the sum of 40 waves of random directions, of 4 tokens or more."""
    generator = torch.Generator().manual_seed(0)
    angle, length, phase = torch.rand(
        3, 40, generator=generator, dtype=torch.float64
    )
    frequency = length / 4
    along = y[..., None] * torch.sin(2 * math.pi * angle) + x[
        ..., None
    ] * torch.cos(2 * math.pi * angle)
    return torch.cos(2 * math.pi * (frequency * along + phase)).sum(-1)


SURFACES: dict[str, Surface] = dict(
    smooth=smooth, peaked=peaked, random=random
)


def sample(surface: Surface, window: int, scale: float = 1.0) -> Tensor:
    """Return the bias table of a surface.

    Args:
        surface: Function of offsets in tokens.
        window: Side of the window, in tokens.
        scale: Factor for the offsets.

    Returns:
        The table, ((2 * window - 1)^2, 1), float64.
    """
    offsets = torch.arange(1.0 - window, window, dtype=torch.float64) * scale
    y, x = torch.meshgrid(offsets, offsets, indexing='ij')
    return surface(y, x).reshape(-1, 1)  # ((2W-1)^2, 1)


def errors(
    name: str, method: str, source: int, target: int
) -> tuple[float, float, float]:
    """Return errors in percent of the standard deviation of the true values.

    Args:
        name: Key of `SURFACES`.
        method: Key of `METHODS`.
        source: Side of the first window, in tokens.
        target: Side of the new window, in tokens.

    Returns:
        The errors for a larger image, for a larger context, and for a larger
        context at offsets of at most one token.
    """
    surface = SURFACES[name]
    resized = resize_bias_table(
        sample(surface, source), source, target, method
    )
    image = sample(surface, target, source / target)
    context = sample(surface, target)
    distance = sample(lambda y, x: torch.maximum(y.abs(), x.abs()), target)
    near = distance <= 1

    def percent(error: Tensor, truth: Tensor) -> float:
        return 100 * float(error.square().mean().sqrt() / truth.std())

    return (
        percent(resized - image, image),
        percent(resized - context, context),
        percent((resized - context)[near], context),
    )


def compare(args: argparse.Namespace) -> int:
    """Print a table of errors in Markdown."""
    print(
        '| window | surface | '
        + ' | '.join(
            f'{method}, {truth}'
            for truth in ('image', 'context', 'neighbours')
            for method in METHODS
        )
        + ' |'
    )
    print('| --- | --- |' + ' --: |' * (3 * len(METHODS)))
    for source, target in WINDOWS:
        for name in SURFACES:
            columns = zip(
                *(errors(name, method, source, target) for method in METHODS)
            )
            cells = [
                f'{value:.1f}' if value >= 0.05 else '0'
                for column in columns
                for value in column
            ]
            print(f'| {source} → {target} | {name} | {" | ".join(cells)} |')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(compare, make_parser().parse_args(argv))
