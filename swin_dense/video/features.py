"""Extract feature maps of clips from any stage of Video Swin."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.backbones import SwinTransformer3D, SwinTransformerV2_3D
from swin_dense.data.video_reader import Video

# Mean and deviation of the published models, in RGB.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@torch.no_grad()
def extract_features(
    model: nn.Module,
    clip: np.ndarray | Tensor,
    stages: Sequence[int] = (0, 1, 2, 3),
    per_frame: bool = False,
) -> dict[int, Tensor]:
    """Extract feature maps of a clip of any length and size.

    The model runs in evaluation mode without gradients; its mode is restored
    afterwards. A map is normalised if the model has an output norm for its
    stage (`out_indices`), and is raw otherwise.

    Args:
        model: A recognizer, or its backbone, a `SwinTransformer3D` or
            `SwinTransformerV2_3D`.
        clip: Frames `(T, H, W, 3)` in RGB, uint8, which are normalised as by
            the model's data preprocessor, or by ImageNet's mean and deviation
            if it has none; or a normalised clip `(3, T, H, W)` of a floating
            type.
        stages: Numbers of stages, 0 to 3.
        per_frame: If True, interpolate along time to a map per frame.
            Otherwise there is a map per temporal patch, usually two frames.

    Returns:
        A map `(T', C, H', W')` for each stage, on the model's device. H' and
        W' are H and W over 4, 8, 16 or 32, rounded up.

    Raises:
        ValueError: If the model is not a Video Swin, a stage does not exist,
            or the clip has another shape or type.
    """
    backbone = getattr(model, 'backbone', model)
    if not isinstance(backbone, (SwinTransformer3D, SwinTransformerV2_3D)):
        raise ValueError(
            'extract_features needs a SwinTransformer3D, or a recognizer on '
            f'one, got {type(model).__name__} ({type(backbone).__name__})'
        )
    wrong = sorted({*stages} - {*range(len(backbone.layers))})
    if wrong or not stages:
        raise ValueError(
            f'stages must be chosen from 0 to '
            f'{len(backbone.layers) - 1}, got {list(stages)}'
        )
    x = _normalised(model, clip).to(next(backbone.parameters()).device)
    raw_maps: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        """Return a hook that stores the output of a stage."""

        def hook(stage: nn.Module, inputs: Any, outputs: Any) -> None:
            """Store the output, before or after patch merging."""
            raw_maps[index] = outputs[backbone.out_after_merging]

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
        out = raw_maps[index] if norm is None else norm(raw_maps[index])
        out = out[0].movedim(-1, 1)  # (T', C, H', W')
        maps[index] = _along_time(out, x.shape[1]) if per_frame else out
    return maps


def _normalised(model: nn.Module, clip: np.ndarray | Tensor) -> Tensor:
    """Return a normalised clip `(3, T, H, W)`."""
    x = torch.as_tensor(clip)
    is_raw = x.dtype == torch.uint8
    if (
        x.ndim != 4
        or x.shape[3 if is_raw else 0] != 3
        or not (is_raw or x.is_floating_point())
    ):
        raise ValueError(
            'a clip must be frames (T, H, W, 3) of uint8, or normalised '
            f'(3, T, H, W) of a floating type; got {tuple(x.shape)} of '
            f'{x.dtype}'
        )
    if not is_raw:
        return x
    preprocessor = getattr(model, 'data_preprocessor', None)
    mean, std = (
        torch.as_tensor(getattr(preprocessor, name, default))
        .cpu()
        .view(3, 1, 1, 1)  # (3, T, H, W)
        for name, default in (('mean', MEAN), ('std', STD))
    )
    return (x.movedim(-1, 0).float() - mean) / std  # (3, T, H, W)


def _along_time(maps: Tensor, frames: int) -> Tensor:
    """Interpolate maps `(T', C, H, W)` to a map for each of T frames."""
    series = maps.flatten(1).t()[None]  # (1, C * H * W, T')
    series = F.interpolate(
        series, size=frames, mode='linear', align_corners=False
    )  # (1, C * H * W, T)
    rows = series[0].t()  # (T, C * H * W)
    return rows.reshape(frames, *maps.shape[1:])  # (T, C, H, W)


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
    """Extract feature maps of a video, clip by clip.

    The last clip has the remaining frames. Its last frame is repeated to fill
    the last temporal patch.

    Args:
        model: A recognizer, or its backbone; see `extract_features`.
        video: The video.
        clip_len: Number of frames that the model sees at a time.
        interval: Frames of the video from one sampled frame to the next.
        stages: Numbers of stages, 0 to 3.
        per_frame: If True, return a map per sampled frame, otherwise a map
            per temporal patch.
        pool: If True, average maps over height and width.
        short_side: Length in pixels that the shorter side of frames is
            resized to; None does not resize.
        dtype: Type of the maps, `float32` or `float16`.

    Returns:
        For each stage `stage0` to `stage3` an array `(N, C, H', W')`, or
        `(N, C)` if pooled. `frames` `(N,)` are the frame numbers of the maps,
        that of a patch being its middle. `times` `(N,)` are their times in
        seconds; they are left out if the file has no times.

    Raises:
        VideoError: If a frame cannot be decoded.
        ValueError: If `extract_features` raises it.
    """
    backbone: Any = getattr(model, 'backbone', model)
    patch = backbone.patch_embed.patch_size[0]
    sampled = np.arange(0, video.num_frames, interval)
    maps: dict[int, list[np.ndarray]] = {stage: [] for stage in stages}
    places: list[np.ndarray] = []
    for start in range(0, len(sampled), clip_len):
        frames = sampled[start : start + clip_len]
        filled = np.concatenate(
            [frames, frames[-1:].repeat(-len(frames) % patch)]
        )  # a multiple of `patch` frame numbers
        clip = np.stack(
            [_resized(frame, short_side) for frame in video.frames(filled)]
        )
        clip_maps = extract_features(model, clip, stages, per_frame)
        for stage, out in clip_maps.items():
            out = out[: len(frames)] if per_frame else out
            out = out.mean((2, 3)) if pool else out
            maps[stage].append(out.cpu().numpy().astype(dtype))
        patches = filled.reshape(-1, patch)  # (T', patch)
        places.append(frames if per_frame else patches.mean(1))
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
    """Resize a frame (H, W, 3) by its shorter side in pixels."""
    height, width = frame.shape[:2]
    factor = (short_side or min(height, width)) / min(height, width)
    if factor == 1:
        return frame
    size = round(width * factor), round(height * factor)
    return cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
