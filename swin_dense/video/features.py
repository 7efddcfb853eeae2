"""Feature maps of clips, from every stage and for every frame."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.backbones import SwinTransformer3D
from swin_dense.data.video_reader import Video

# What the published models normalise by, RGB.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@torch.no_grad()
def extract_features(
    model: nn.Module,
    clip: np.ndarray | Tensor,
    stages: Sequence[int] = (0, 1, 2, 3),
    per_frame: bool = False,
) -> dict[int, Tensor]:
    """Feature maps of a clip of any length and size.

    The model runs in evaluation mode, without gradients, and is left as it
    was. A map passes the output norm of its stage where the model has one
    (`out_indices`), and is raw otherwise.

    Args:
        model: A recognizer, or its backbone, a `SwinTransformer3D`.
        clip: Frames `(T, H, W, 3)`, RGB, uint8, which are normalised as the
            model's data preprocessor does, by ImageNet's mean and deviation
            if it has none; or what is normalised already, `(3, T, H, W)`, of
            a floating type.
        stages: Stages wanted, 0 to 3.
        per_frame: Whether to interpolate along time, so that there is a map
            for each frame; otherwise there is one for each temporal patch,
            two frames usually.

    Returns:
        For each stage a map `(T', C, H', W')`, on the model's device. H' and
        W' are those of the clip over 4, 8, 16 or 32, rounded up.

    Raises:
        ValueError: The model is no Video Swin, there is no such stage, or the
            clip is of another shape or type or shorter than a temporal patch.
    """
    backbone = getattr(model, 'backbone', model)
    if not isinstance(backbone, SwinTransformer3D):
        raise ValueError(
            'extract_features needs a SwinTransformer3D, or a recognizer on '
            f'one, got {type(model).__name__} ({type(backbone).__name__})'
        )
    wrong = sorted({*stages} - {*range(len(backbone.layers))})
    if wrong or not stages:
        raise ValueError(
            f'stages must be some of 0 to '
            f'{len(backbone.layers) - 1}, got {list(stages)}'
        )
    x = _normalised(model, clip).to(next(backbone.parameters()).device)
    found: dict[int, Tensor] = {}

    def keep(index: int) -> Any:

        def hook(stage: nn.Module, inputs: Any, outputs: Any) -> None:
            found[index] = outputs[backbone.out_after_merging]

        return hook

    hooks = [
        backbone.layers[index].register_forward_hook(keep(index))
        for index in {*stages}
    ]
    training = backbone.training
    backbone.eval()
    try:
        backbone(x[None])
    finally:
        backbone.train(training)
        for hook in hooks:
            hook.remove()
    maps = {}
    for index in stages:
        norm = getattr(backbone, f'norm{index}', None)
        out = found[index] if norm is None else norm(found[index])
        out = out[0].movedim(-1, 1)  # (T', C, H', W')
        maps[index] = _along_time(out, x.shape[1]) if per_frame else out
    return maps


def _normalised(model: nn.Module, clip: np.ndarray | Tensor) -> Tensor:
    """A clip `(3, T, H, W)` as the backbone takes it."""
    x = torch.as_tensor(clip)
    frames = x.dtype == torch.uint8
    if (
        x.ndim != 4
        or x.shape[3 if frames else 0] != 3
        or not (frames or x.is_floating_point())
    ):
        raise ValueError(
            'a clip must be frames (T, H, W, 3) of uint8, or normalised '
            f'(3, T, H, W) of a floating type; got {tuple(x.shape)} of '
            f'{x.dtype}'
        )
    if not frames:
        return x
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean, std = (
        torch.as_tensor(getattr(preprocessor, name, default))
        .cpu()
        .view(3, 1, 1, 1)
        for name, default in (('mean', MEAN), ('std', STD))
    )
    return (x.movedim(-1, 0).float() - mean) / std


def _along_time(maps: Tensor, frames: int) -> Tensor:
    """Interpolate maps `(T', C, H, W)` to a number of frames."""
    series = maps.flatten(1).t()[None]  # (1, C * H * W, T')
    series = F.interpolate(
        series, size=frames, mode='linear', align_corners=False
    )
    return series[0].t().unflatten(0, (frames,)).view(frames, *maps.shape[1:])


def extract_video(
    model: nn.Module,
    video: Video,
    *,
    clip_len: int = 32,
    interval: int = 2,
    stages: Sequence[int] = (3,),
    per_frame: bool = False,
    pool: bool = False,
    short_side: int | None = 224,
    dtype: str = 'float32',
) -> dict[str, np.ndarray]:
    """Feature maps of a video, clip after clip.

    The last clip is as short as what is left; frames are repeated to fill the
    last temporal patch.

    Args:
        model: See `extract_features`.
        video: The video.
        clip_len: Frames that the model sees at a time.
        interval: Frames of the video from one of them to the next.
        stages: Stages wanted.
        per_frame: Whether there is a map for each of these frames, or for
            each temporal patch.
        pool: Whether maps are averaged over height and width.
        short_side: Pixels that the shorter side of frames is resized to; None
            leaves them as they are.
        dtype: Type of the maps, `float32` or `float16`.

    Returns:
        `stage0` to `stage3`, as far as wanted: `(N, C, H', W')`, or `(N, C)`
        if pooled; `frames` `(N, )`: the place of each in the video, counted
        in frames, the middle of a patch; and `times` `(N, )`: when that is, in
        seconds, unless the file does not tell.

    Raises:
        VideoError: A frame cannot be decoded.
        ValueError: See `extract_features`.
    """
    patch = getattr(model, 'backbone', model).patch_embed.patch_size[0]
    wanted = np.arange(0, video.num_frames, interval)
    maps: dict[int, list[np.ndarray]] = {stage: [] for stage in stages}
    places: list[np.ndarray] = []
    for start in range(0, len(wanted), clip_len):
        frames = wanted[start : start + clip_len]
        filled = np.concatenate(
            [frames, frames[-1:].repeat(-len(frames) % patch)]
        )
        clip = np.stack(
            [_resized(frame, short_side) for frame in video.frames(filled)]
        )
        found = extract_features(model, clip, stages, per_frame)
        for stage, out in found.items():
            out = out[: len(frames)] if per_frame else out
            out = out.mean((2, 3)) if pool else out
            maps[stage].append(out.cpu().numpy().astype(dtype))
        places.append(
            frames if per_frame else filled.reshape(-1, patch).mean(1)
        )
    features = {
        f'stage{stage}': np.concatenate(parts) for stage, parts in maps.items()
    }
    features['frames'] = np.concatenate(places).astype(np.float64)
    times = video.times()
    if times is not None:
        features['times'] = np.interp(
            features['frames'], np.arange(len(times)), times
        )
    return features


def _resized(frame: np.ndarray, short_side: int | None) -> np.ndarray:
    height, width = frame.shape[:2]
    factor = (short_side or min(height, width)) / min(height, width)
    if factor == 1:
        return frame
    size = round(width * factor), round(height * factor)
    return cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
