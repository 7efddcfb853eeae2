"""Check the window that a checkpoint is to be resized to."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from swin_dense.checkpoints.native import INFLATED_FROM, family
from swin_dense.checkpoints.position import PATCH
from swin_dense.ops.grid import Grid

# Tokens. A larger window is probably given in pixels: the largest window in
# the papers is 56.
_LARGEST = 128


def check_target_window(
    weights: Mapping[str, Tensor],
    window: Sequence[int],
    image_size: Sequence[int] | None,
) -> Grid:
    """Return the new window per axis.

    Args:
        weights: Backbone under native names.
        window: New window in tokens: one number for images, or one per axis.
        image_size: Image size in pixels for the new checkpoint, if given.

    Raises:
        ValueError: If the weights cannot have the window.
    """
    member = family(weights)
    if member == 'mlp':
        raise ValueError(
            'is a Swin-MLP: its weights mix the tokens of windows of one '
            'size, and there is no transfer to another'
        )
    if len(window) == 3 and member not in INFLATED_FROM:
        raise ValueError(
            f'is for images, got the window {tuple(window)} of three axes: '
            'give one or two numbers; a model for clips takes the file as it '
            'is and repeats it in time (pretrained2d=True)'
        )
    axes = 3 if member in INFLATED_FROM else 2
    target = per_axis(window, axes, 'window')
    if min(target[-2:]) < 2 or max(target) > _LARGEST:
        raise ValueError(
            f'window must be between 2 and {_LARGEST} tokens, got {target}: '
            'it counts patches of the first map, not pixels'
        )
    if image_size is not None:
        stages = len({n.split('.')[1] for n in weights if '.blocks.' in n})
        stride = weights[PATCH].shape[-1] * 2 ** (stages - 1)
        pixels = per_axis(image_size, 2, 'image_size')
        last = tuple(-(-size // stride) for size in pixels)
        if any(w > size for w, size in zip(target[-2:], last)):
            raise ValueError(
                f'window {target} is beyond the last map, which has {last} '
                f'tokens for images of {pixels} pixels: give a smaller '
                'window, or leave the image size out where maps are padded'
            )
    return target


def per_axis(numbers: Sequence[int], axes: int, argument: str) -> Grid:
    """Return a positive number for each axis.

    Args:
        numbers: One number per axis; for two axes one number is enough.
        axes: 2 for images, 3 for clips.
        argument: Name of the argument, for the error.

    Raises:
        ValueError: If the count of numbers is wrong or one is below 1.
    """
    values = tuple(numbers)
    if len(values) == 1 and axes == 2:
        values *= 2
    if len(values) != axes or min(values) < 1:
        expected = (
            'time, height and width'
            if axes == 3
            else 'one positive number or two, height and width'
        )
        raise ValueError(
            f'{argument} must be {expected} for these weights, got {values}'
        )
    return values
