"""Write images and label maps in ADE20K's layout, with its 150 classes."""

from pathlib import Path

import cv2
import numpy as np

SIZES = {'training': [(48, 64), (64, 48)], 'validation': [(40, 56), (56, 72)]}


def write_ade(root: Path) -> Path:
    """Write two images of blocks for each split; return the data root.

    The colour of a block shows its class. Value 0 is no class, and 150 is the
    last class.
    """
    rng = np.random.default_rng(0)
    for split, sizes in SIZES.items():
        for folder in ('images', 'annotations'):
            (root / folder / split).mkdir(parents=True)
        for index, (height, width) in enumerate(sizes):
            labels = rng.choice([0, 1, 2, 3, 150], (height // 8, width // 8))
            labels = labels.repeat(8, 0).repeat(8, 1).astype(np.uint8)
            colour = np.stack([labels, 255 - labels, labels // 2], 2)
            noise = rng.integers(0, 20, colour.shape)
            pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / 'images' / split / f'{index}.jpg'), pixels)
            cv2.imwrite(
                str(root / 'annotations' / split / f'{index}.png'), labels
            )
    return root
