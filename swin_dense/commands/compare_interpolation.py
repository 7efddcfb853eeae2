"""Compare the methods of interpolating bias tables on generated surfaces.

Prints the tables of docs/notes/position_bias.md. A bias table is a surface
that is known at all offsets, sampled for a window; the methods carry it to
another one, and the error is measured against the surface itself. What the
right value of a new offset is depends on what grew with the window:

- the image: tokens have shrunk, so offset d now is d * source / target;
- the context alone: tokens are what they were, so offset d is d.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from swin_dense.checkpoints.interpolation import METHODS
from swin_dense.checkpoints.position import resize_bias_table
from swin_dense.engine import cli

WINDOWS = ((7, 8), (7, 12), (7, 16), (12, 7))
Surface = Callable[[Tensor, Tensor], Tensor]


def smooth(y: Tensor, x: Tensor) -> Tensor:
    """Return the height of a hill three tokens wide."""
    return torch.exp(-(y**2 + x**2) / (2 * 3**2))


def peaked(y: Tensor, x: Tensor) -> Tensor:
    """Return the height of a spike that falls to a third within a token."""
    return torch.exp(-torch.hypot(y, x))


def random(y: Tensor, x: Tensor) -> Tensor:
    """Forty waves of random directions, none shorter than four tokens."""
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
    """Return the bias table `(rows, 1)` of a surface."""
    offsets = torch.arange(1.0 - window, window, dtype=torch.float64) * scale
    y, x = torch.meshgrid(offsets, offsets, indexing='ij')
    return surface(y, x).reshape(-1, 1)


def errors(
    name: str, method: str, source: int, target: int
) -> tuple[float, float, float]:
    """Errors in percent of the deviation of the true values.

    Returns:
        Where the image grew, where the context did, and the latter among
        neighbours alone (offsets of up to one token).
    """
    surface = SURFACES[name]
    found = resize_bias_table(sample(surface, source), source, target, method)
    image = sample(surface, target, source / target)
    context = sample(surface, target)
    far = sample(lambda y, x: torch.maximum(y.abs(), x.abs()), target)
    near = far <= 1

    def percent(error: Tensor, truth: Tensor) -> float:
        return 100 * float(error.square().mean().sqrt() / truth.std())

    return (
        percent(found - image, image),
        percent(found - context, context),
        percent((found - context)[near], context),
    )


def compare(args: argparse.Namespace) -> int:
    """Print a table in Markdown."""
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
    """Parse and run."""
    parser = cli.make_parser(__doc__, 'python tools/compare_interpolation.py')
    cli.add_debug_argument(parser)
    return cli.run(compare, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
