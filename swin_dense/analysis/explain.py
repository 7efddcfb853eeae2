"""Explain what a trained model looks at: attention and class activation.

The functions take a model that `swin_dense.load` returns, and an image of any
kind that it takes. Coordinates are x and y in pixels of the image; the first
pixel is at 0.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from swin_dense.analysis.attention_maps import (
    AttentionRecord,
    record_attention,
)
from swin_dense.analysis.class_activation import (
    activations,
    check_method,
    strongest,
    watch_pyramid,
)
from swin_dense.analysis.input_places import Places, find_places
from swin_dense.engine.inputs import ImageLike, read_image_input
from swin_dense.ops.grid import format_size
from swin_dense.wording import suggest_name

# Places of an input that is shown as it is.
UNMOVED = Places((1.0, 1.0), (0.0, 0.0))


@dataclass(frozen=True)
class AttentionMap:
    """Attention of a block, laid out on the map of tokens.

    Attributes:
        pixels: What the maps are of: the image (H, W, 3) in BGR, or the
            frames (T, H, W, 3) in RGB that the model sees.
        attention: Maps of the heads `(heads, *grid)`. With a query: its
            weights, 0 outside of its window. Without: the sum of the weights
            that a token gets from all queries, 1 on average.
        stage: Number of the stage.
        block: Number of the block.
        query: Position of the query on the map, in tokens per axis; None
            without a query.
        padding: Share of each head's weights that goes to padding
            `(heads, )`; None without a query.
        stride: Pixels of the input per token, height and width alike.
        frames_per_token: Frames per token; 1 for images.
        places: Places of the input's pixels in the image.
    """

    pixels: np.ndarray
    attention: np.ndarray
    stage: int
    block: int
    query: tuple[int, ...] | None
    padding: np.ndarray | None
    stride: int
    frames_per_token: int
    places: Places

    def select(self, heads: Sequence[int] | None = None) -> np.ndarray:
        """Return the maps of some heads `(n, *grid)`.

        Args:
            heads: Numbers of heads; None for the mean of all heads.

        Raises:
            ValueError: If there is no such head.
        """
        if heads is None:
            return self.attention.mean(0, keepdims=True)
        wrong = [n for n in heads if not 0 <= n < len(self.attention)]
        if wrong:
            raise ValueError(
                f'there is no head {wrong[0]}: block {self.stage}.'
                f'{self.block} has the heads 0 to {len(self.attention) - 1}'
            )
        return self.attention[list(heads)]

    def on_pixels(self, values: np.ndarray) -> np.ndarray:
        """Lay the values of tokens `(*grid)` out on the pixels.

        Returns:
            Values `(H, W)` of an image, or `(T, H, W)` of frames.
        """
        return _on_pixels(self, values, smooth=False)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of an .npz file, see docs/explain.md."""
        arrays = {
            'attention': self.attention,
            **_placement(self),
        }
        if self.query is not None and self.padding is not None:
            arrays['query'] = np.array(self.query)
            arrays['padding'] = self.padding
        return arrays


@dataclass(frozen=True)
class ActivationMap:
    """Class activation of a score on the maps of a pyramid.

    Attributes:
        pixels: What the maps are of: the image (H, W, 3) in BGR, or the
            frames (T, H, W, 3) in RGB that the model sees.
        levels: Activation `(*grid)` on each map of the pyramid, 0 or more.
        shares: Share of each map in the sum of all activations.
        level: Number of the map to look at.
        stride: Pixels of the input per token of this map.
        frames_per_token: Frames per token; 1 for images.
        places: Places of the input's pixels in the image.
        label: Class of the score.
        score: The explained score: of a detection, its probability; of a
            class at a pixel or in a clip, its logit.
        box: Box of the detection as x0, y0, x1, y1 in pixels; None for
            other tasks.
        point: The explained pixel, x and y; None without one.
    """

    pixels: np.ndarray
    levels: list[np.ndarray]
    shares: list[float]
    level: int
    stride: int
    frames_per_token: int
    places: Places
    label: int
    score: float
    box: np.ndarray | None = None
    point: tuple[float, float] | None = None

    @property
    def activation(self) -> np.ndarray:
        """Activation `(*grid)` on the map to look at."""
        return self.levels[self.level]

    def on_pixels(self, values: np.ndarray) -> np.ndarray:
        """Lay the values of tokens `(*grid)` out on the pixels, smoothly.

        Returns:
            Values `(H, W)` of an image, or `(T, H, W)` of frames.
        """
        return _on_pixels(self, values, smooth=True)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of an .npz file, see docs/explain.md."""
        arrays = {
            f'level{index}': values for index, values in enumerate(self.levels)
        }
        arrays.update(
            shares=np.array(self.shares),
            level=np.array(self.level),
            label=np.array(self.label),
            score=np.array(self.score),
            **_placement(self),
        )
        if self.box is not None:
            arrays['box'] = self.box
        return arrays


def _placement(found: Any) -> dict[str, np.ndarray]:
    """Return the arrays that say where the tokens of a map are."""
    return {
        'stride': np.array(found.stride),
        'scale': np.array(found.places.scale),
        'offset': np.array(found.places.offset),
    }


def _on_pixels(found: Any, values: np.ndarray, smooth: bool) -> np.ndarray:
    """Lay the values of tokens out on the pixels of an image or clip."""
    shape = found.pixels.shape[-3:-1]
    if found.pixels.ndim == 3:
        return found.places.on_image(values, found.stride, shape, smooth)
    layers = [
        found.places.on_image(layer, found.stride, shape, smooth)
        for layer in values
    ]
    frames = np.arange(len(found.pixels)) // found.frames_per_token
    return np.stack([layers[frame] for frame in frames])


def explain_attention(
    predictor: Any,
    image: ImageLike,
    stage: int,
    block: int,
    at: tuple[float, float] | None = None,
) -> AttentionMap:
    """Return the attention of a block for an image.

    The whole image is one input, also for models that predict in parts.

    Args:
        predictor: A `DetectionPredictor` or `SegmentationPredictor`.
        image: The image.
        stage: Number of the stage, from 0.
        block: Number of the block in its stage, from 0.
        at: Pixel whose token is the query; None for the attention that each
            token gets from all queries.

    Raises:
        ValueError: If the pixel is outside of the image, there is no such
            block, or its mixer has no attention; see `record_attention`.
    """
    pixels = read_image_input(image, predictor.channel_order)
    (data,) = predictor._prepare([pixels])
    inputs = _inputs(predictor, data)
    record = record_attention(predictor.model.backbone, inputs, stage, block)
    places = _find_places(predictor, pixels)
    stride = find_stride(inputs.shape[2:], record.grid)
    token = None
    if at is not None:
        check_point(at, pixels.shape[:2])
        x, y = places.to_input(*at)
        token = _clip(((y + 0.5) // stride, (x + 0.5) // stride), record.grid)
    return _attention_map(record, stage, block, token, pixels, stride, places)


def explain_clip_attention(
    predictor: Any,
    frames: Sequence[np.ndarray],
    stage: int,
    block: int,
    at: tuple[float, float, int] | None = None,
) -> AttentionMap:
    """Return the attention of a block for a clip.

    Args:
        predictor: A `VideoPredictor`.
        frames: Frames `(H, W, 3)` in RGB, uint8, as many as the model sees.
        stage: Number of the stage, from 0.
        block: Number of the block in its stage, from 0.
        at: x and y of a pixel, and the index of a frame, whose token is the
            query; None for the attention that each token gets from all
            queries.

    Raises:
        ValueError: If the pixel is outside of what the model sees of the
            frames; see also `explain_attention`.
    """
    data, seen = _prepare_clip(predictor, frames)
    inputs = _inputs(predictor, data)[0]  # (1, 3, T, H, W)
    record = record_attention(predictor.model.backbone, inputs, stage, block)
    stride = find_stride(inputs.shape[3:], record.grid[1:])
    step = -(-inputs.shape[2] // record.grid[0])
    token = None
    if at is not None:
        x, y, frame = at
        check_point((x, y), frames[0].shape[:2])
        if not 0 <= frame < len(frames):
            raise ValueError(
                f'the clip has the frames 0 to {len(frames) - 1}, got {frame}'
            )
        x, y = _find_clip_places(predictor, frames).to_input(x, y)
        height, width = seen.shape[1:3]
        if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            raise ValueError(
                f'the model does not see the pixel {at[0]:g}, {at[1]:g}: its '
                f'input is the middle of the frames, {width}x{height} pixels '
                'after resizing'
            )
        token = _clip(
            (frame // step, (y + 0.5) // stride, (x + 0.5) // stride),
            record.grid,
        )
    return _attention_map(
        record, stage, block, token, seen, stride, UNMOVED, step
    )


def _attention_map(
    record: AttentionRecord,
    stage: int,
    block: int,
    token: tuple[int, ...] | None,
    pixels: np.ndarray,
    stride: int,
    places: Places,
    step: int = 1,
) -> AttentionMap:
    padding = None
    if token is None:
        attention = record.received()
    else:
        attention, shares = record.of_query(token)
        padding = shares.cpu().numpy()
    return AttentionMap(
        pixels,
        attention.cpu().numpy(),
        stage,
        block,
        token,
        padding,
        stride,
        step,
        places,
    )


def explain_detection(
    predictor: Any,
    image: ImageLike,
    detection: int = 0,
    at: tuple[float, float] | None = None,
    label: int | None = None,
    level: int | None = None,
    method: str = 'hires-cam',
) -> ActivationMap:
    """Return the class activation of a detection.

    Args:
        predictor: A `DetectionPredictor`.
        image: The image.
        detection: Number of the detection, from 0, in the order of scores,
            among those that `at` and `label` leave.
        at: Pixel that the box of the detection holds; None for any box.
        label: Class of the detection; None for any class.
        level: Map of the pyramid; None for the one with most activation.
        method: `hires-cam` or `grad-cam`, see `class_activation`.

    Raises:
        ValueError: If there is no such detection or map, or the score has no
            gradient.
    """
    check_method(method)
    pixels = read_image_input(image, predictor.channel_order)
    if at is not None:
        check_point(at, pixels.shape[:2])
    batch = pseudo_collate(predictor._prepare([pixels]))
    with watch_pyramid(predictor.model) as pyramid, _differentiable_soft_nms():
        (sample,) = predictor.model.test_step(batch)
        instances = sample.pred_instances
        boxes = instances.bboxes.detach().cpu().numpy()
        scores = instances.scores.detach().cpu().numpy()
        labels = instances.labels.cpu().numpy()
        wanted = np.ones(len(scores), bool)
        if label is not None:
            wanted &= labels == label
        if at is not None:
            x, y = at
            wanted &= (boxes[:, 0] <= x) & (x <= boxes[:, 2])
            wanted &= (boxes[:, 1] <= y) & (y <= boxes[:, 3])
        order = np.argsort(-scores, kind='stable')
        order = order[wanted[order]]
        if not 0 <= detection < len(order):
            what = 'detections'
            if label is not None:
                what = f'detections of {predictor.classes[label]}'
            if at is not None:
                what += f' at {at[0]:g}, {at[1]:g}'
            raise ValueError(
                f'there are {len(order)} {what} in the image, counted from '
                f'0, so there is no detection {detection}'
            )
        chosen = int(order[detection])
        maps = activations(instances.scores[chosen], pyramid, method)
    return _activation_map(
        maps,
        level,
        pixels,
        _inputs_shape(predictor, batch),
        _find_places(predictor, pixels),
        label=int(labels[chosen]),
        score=float(scores[chosen]),
        box=boxes[chosen],
        point=at,
    )


def explain_segmentation(
    predictor: Any,
    image: ImageLike,
    at: tuple[float, float] | None = None,
    label: int | None = None,
    level: int | None = None,
    method: str = 'hires-cam',
) -> ActivationMap:
    """Return the class activation of a class at a pixel.

    The score is the logit of the class, see arXiv 2002.11434. The whole image
    is one input, also for models that predict in parts.

    Args:
        predictor: A `SegmentationPredictor`.
        image: The image.
        at: The pixel; None for the mean over all pixels that are predicted as
            the class.
        label: The class; None for the class at the pixel or, without a pixel,
            for the most frequent class.
        level: Map of the pyramid; None for the one with most activation.
        method: `hires-cam` or `grad-cam`, see `class_activation`.

    Raises:
        ValueError: If the pixel is outside of the image, there is no such map,
            no pixel is predicted as the class, or the score has no gradient.
    """
    check_method(method)
    pixels = read_image_input(image, predictor.channel_order)
    if at is not None:
        check_point(at, pixels.shape[:2])
    batch = pseudo_collate(predictor._prepare([pixels]))
    model = predictor.model
    with watch_pyramid(model) as pyramid, _as_a_whole(model):
        (sample,) = model.test_step(batch)
        logits = sample.seg_logits.data  # (C, H, W)
        if len(logits) == 1:
            # The probability of the second of two classes.
            logits = torch.cat([1 - logits, logits])  # (2, H, W)
        labels = sample.pred_sem_seg.data[0]  # (H, W)
        if at is not None:
            x, y = int(at[0]), int(at[1])
            label = int(labels[y, x]) if label is None else label
            score = logits[label, y, x]
        else:
            if label is None:
                label = int(labels.flatten().bincount().argmax())
            found = labels == label
            if not found.any():
                raise ValueError(
                    f'no pixel is predicted as {predictor.classes[label]}: '
                    'give a pixel by --at (at=...) to see what speaks for it '
                    'there'
                )
            score = logits[label][found].mean()
        maps = activations(score, pyramid, method)
    return _activation_map(
        maps,
        level,
        pixels,
        _inputs_shape(predictor, batch),
        _find_places(predictor, pixels),
        label=label,
        score=float(score.detach()),
        point=at,
    )


def explain_clip(
    predictor: Any,
    frames: Sequence[np.ndarray],
    label: int | None = None,
    level: int | None = None,
    method: str = 'grad-cam',
) -> ActivationMap:
    """Return the class activation of a clip along time.

    The score is the logit of the class. Of several crops, the middle one is
    taken.

    Args:
        predictor: A `VideoPredictor`.
        frames: Frames `(H, W, 3)` in RGB, uint8, as many as the model sees.
        label: The class; None for the class with the highest score.
        level: Map of the pyramid; None for the one with most activation.
        method: `hires-cam` or `grad-cam`, see `class_activation`.

    Raises:
        ValueError: If there is no such map, or the score has no gradient.
    """
    check_method(method)
    data, seen = _prepare_clip(predictor, frames)
    head = predictor.model.cls_head
    average, head.average_clips = head.average_clips, 'score'
    try:
        with watch_pyramid(predictor.model) as pyramid:
            (sample,) = predictor.model.test_step(pseudo_collate([data]))
            scores = sample.pred_score
            label = int(scores.argmax()) if label is None else label
            maps = activations(scores[label], pyramid, method)
    finally:
        head.average_clips = average
    return _activation_map(
        maps,
        level,
        seen,
        seen.shape[:3],
        UNMOVED,
        label,
        float(scores[label].detach()),
    )


def _activation_map(
    maps: Sequence[Tensor],
    level: int | None,
    pixels: np.ndarray,
    shape: Sequence[int],
    places: Places,
    label: int,
    score: float,
    box: np.ndarray | None = None,
    point: tuple[float, float] | None = None,
) -> ActivationMap:
    """Make the result of activations `(*grid)` on the maps of a pyramid.

    Args:
        maps: Activation of each map.
        level: Map to look at; None for the one with most activation.
        pixels: The image or the frames.
        shape: Size of the input, (H, W) or (T, H, W).
        places: Places of the input's pixels in the image.
        label: See `ActivationMap`, as the other arguments.
    """
    best, shares = strongest(maps)
    level = best if level is None else level
    if not 0 <= level < len(maps):
        raise ValueError(
            f'there is no map {level}: the pyramid has the maps 0 to '
            f'{len(maps) - 1}'
        )
    grid = maps[level].shape
    return ActivationMap(
        pixels,
        [entry.cpu().numpy() for entry in maps],
        shares,
        level,
        find_stride(shape[-2:], grid[-2:]),
        -(-shape[0] // grid[0]) if len(shape) == 3 else 1,
        places,
        label,
        score,
        box,
        point,
    )


def find_label(classes: Sequence[str], name: str) -> int:
    """Return the label of a class name.

    Raises:
        ValueError: If there is no class of this name.
    """
    if name not in classes:
        raise ValueError(
            f'the model has no class {name!r}; {suggest_name(name, classes)}'
        )
    return list(classes).index(name)


def check_point(point: Sequence[float], shape: Sequence[int]) -> None:
    """Raise an error for a pixel outside of an image.

    Args:
        point: x and y.
        shape: Height and width.

    Raises:
        ValueError: If the pixel is outside.
    """
    (x, y), (height, width) = point, shape
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f'the pixel {x:g}, {y:g} is outside of the image, which is '
            f'{format_size((width, height))} pixels'
        )


def find_stride(size: Sequence[int], grid: Sequence[int]) -> int:
    """Return the pixels per token of a map.

    Args:
        size: Height and width of the input in pixels.
        grid: Height and width of the map in tokens. Each token covers as many
            pixels; the last may be cut.
    """
    fitting = [
        stride
        for stride in range(1, max(size) + 1)
        if all(-(-s // stride) == g for s, g in zip(size, grid))
    ]
    powers = [stride for stride in fitting if stride & (stride - 1) == 0]
    if powers or fitting:
        return (powers or fitting)[0]
    return max(1, round(max(s / g for s, g in zip(size, grid))))


def _clip(token: Sequence[float], grid: Sequence[int]) -> tuple[int, ...]:
    """Return a position as whole tokens inside of a map."""
    return tuple(
        min(max(int(place), 0), size - 1) for place, size in zip(token, grid)
    )


def _inputs(predictor: Any, data: dict[str, Any]) -> Tensor:
    """Return the normalised and padded input of the model."""
    batch = pseudo_collate([data])
    return predictor.model.data_preprocessor(batch, False)['inputs']


def _inputs_shape(predictor: Any, batch: Any) -> tuple[int, ...]:
    """Return height and width of the padded input of the model."""
    data = predictor.model.data_preprocessor(batch, False)
    return tuple(data['inputs'].shape[2:])


def _find_places(predictor: Any, pixels: np.ndarray) -> Places:
    """Find where the test pipeline puts the pixels of an image."""

    def prepare(image: np.ndarray) -> np.ndarray:
        """Put an image through the pipeline."""
        (data,) = predictor._prepare([image])
        return data['inputs'].numpy()

    return find_places(prepare, pixels.shape[:2])


def _find_clip_places(predictor: Any, frames: Sequence[np.ndarray]) -> Places:
    """Find where the test pipeline puts the pixels of frames."""

    def prepare(image: np.ndarray) -> np.ndarray:
        """Put a clip of one repeated image through the pipeline."""
        data = predictor.prepare([image] * len(frames))
        return _middle_view(data['inputs'])[0, :, 0].numpy()

    return find_places(prepare, frames[0].shape[:2])


def _prepare_clip(
    predictor: Any, frames: Sequence[np.ndarray]
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a clip's middle view `(1, 3, T, H, W)`, and its frames.

    Returns:
        The prepared clip, and the frames `(T, H, W, 3)` in RGB, uint8, that
        the model sees.
    """
    data = predictor.prepare(frames)
    inputs = _middle_view(data['inputs'])
    seen = inputs[0].permute(1, 2, 3, 0).numpy()
    return dict(data, inputs=inputs), np.ascontiguousarray(seen, np.uint8)


def _middle_view(inputs: Tensor) -> Tensor:
    """Return the middle one of the views `(views, 3, T, H, W)`."""
    middle = len(inputs) // 2
    return inputs[middle : middle + 1]


@contextmanager
def _as_a_whole(model: Any) -> Iterator[None]:
    """Let a segmentor predict whole images instead of parts."""
    mode = model.test_cfg.get('mode')
    model.test_cfg['mode'] = 'whole'
    try:
        yield
    finally:
        model.test_cfg['mode'] = mode


@contextmanager
def _differentiable_soft_nms() -> Iterator[None]:
    """Give the scores that soft-NMS lowers the gradient of the scores.

    mmcv's operator has no backward pass. The factor by which it lowers a
    score depends on boxes, and counts as a constant here.
    """
    module: Any = importlib.import_module('mmcv.ops.nms')
    original = module.soft_nms

    def soft_nms(boxes: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
        """Return boxes with lowered scores `(n, 5)`, and their indices."""
        with torch.no_grad():
            dets, index = original(boxes, scores, *args, **kwargs)
            factor = dets[:, 4] / scores[index]
        lowered = scores[index] * factor
        return torch.cat([dets[:, :4], lowered[:, None]], 1), index

    module.soft_nms = soft_nms
    try:
        yield
    finally:
        module.soft_nms = original
