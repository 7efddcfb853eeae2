"""Random masks of square groups of patches."""

from math import ceil
from typing import Any

import numpy as np

from swin_dense.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SimMIMMask:
    """Choose patches to mask: a share of the cells of a coarse grid.

    Adds `mask`, (img_size / patch_size, img_size / patch_size) int64: 1 for
    each patch of a masked cell, 0 for others.

    Args:
        img_size: Side of the images in pixels.
        cell_size: Side of a cell in pixels.
        patch_size: Side of a patch of the encoder in pixels.
        ratio: Share of the cells that are masked, rounded up.

    Raises:
        ValueError: If cells do not fit the image, patches do not fit a cell,
            or the ratio is no share.
    """

    def __init__(
        self,
        img_size: int = 192,
        cell_size: int = 32,
        patch_size: int = 4,
        ratio: float = 0.6,
    ) -> None:
        for name, size, part_name, part in (
            ('img_size', img_size, 'cell_size', cell_size),
            ('cell_size', cell_size, 'patch_size', patch_size),
        ):
            if part < 1 or size < part or size % part:
                raise ValueError(
                    f'SimMIMMask: {name}={size} is no multiple of '
                    f'{part_name}={part}, so the mask does not fit the grid '
                    'of patches'
                )
        if not 0 < ratio <= 1:
            raise ValueError(
                f'SimMIMMask: ratio={ratio} is no share of the cells; '
                'expected a number above 0 and at most 1'
            )
        self.side = img_size // cell_size
        self.repeats = cell_size // patch_size
        self.num_masked = ceil(self.side**2 * ratio)

    def draw(self) -> np.ndarray:
        """Return a random mask."""
        chosen = np.random.permutation(self.side**2)[: self.num_masked]
        cells = np.zeros(self.side**2, np.int64)
        cells[chosen] = 1
        cells = cells.reshape(self.side, self.side)
        return cells.repeat(self.repeats, 0).repeat(self.repeats, 1)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add a random mask."""
        return {**results, 'mask': self.draw()}
