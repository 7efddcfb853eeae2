"""Shift along time (Temporal Interlacing Network, arXiv 2001.06499).

Dimension key: B clips, T frames, C channels, P pixels, G groups of channels.
"""

import torch
from torch import Tensor


def tin_shift(clips: Tensor, shift: Tensor) -> Tensor:
    """Shift every group of channels along time.

    Args:
        clips: (B, T, C, P).
        shift: Number of frames by which each group moves to later frames,
            (B, G), integer.

    Returns:
        (B, T, C, P). Frames without a source frame are zero.
    """
    frames, channels = clips.shape[1:3]
    # (B, C)
    shift = shift.long().repeat_interleave(channels // shift.size(1), 1)
    source = torch.arange(frames, device=clips.device)[:, None]
    source = source - shift[:, None]  # (B, T, C)
    inside = (source >= 0) & (source < frames)
    index = source.clamp(0, frames - 1)[..., None]
    index = index.expand_as(clips)  # (B, T, C, P)
    return clips.gather(1, index) * inside[..., None]
