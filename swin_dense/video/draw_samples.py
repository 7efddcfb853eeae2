"""Draw the samples of a data set of clips with their classes."""

from typing import Any

import numpy as np

from swin_dense.visualization.text import put_text, text_size

FRAMES = 8
GAP = 4  # pixels


def draw_sample(
    sample: dict[str, Any], image: np.ndarray, meta: dict[str, Any]
) -> np.ndarray:
    """Draw frames of a clip in a row, below the name of its class.

    Args:
        sample: What the data set returns; `inputs` are (N, C, T, H, W).
        image: Not used.
        meta: `metainfo` of the data set.

    Returns:
        The picture, (height, width, 3) uint8, BGR. The first of several
        views is drawn.
    """
    clip = sample['inputs'][0].permute(1, 2, 3, 0).numpy()  # (T, H, W, C)
    places = np.linspace(0, len(clip) - 1, min(FRAMES, len(clip)))
    frames = [clip[int(place)][..., ::-1] for place in places.round()]
    height, width = frames[0].shape[:2]
    label = int(sample['data_samples'].gt_label)
    text = f'{meta["classes"][label]}, {len(clip)} frames'
    size = max(11, height // 12)
    band = max(size, text_size(text, size)[1]) + 2 * GAP
    picture = np.full(
        (band + height, len(frames) * (width + GAP) - GAP, 3), 255, np.uint8
    )
    for index, frame in enumerate(frames):
        left = index * (width + GAP)
        picture[band:, left : left + width] = frame
    put_text(picture, text, (GAP, GAP), size, (0, 0, 0))
    return picture
