"""A batch that takes as much memory as a training step may need.

Boxes decide how much of a detector runs. Here proposals lie on objects, so
that each sampler finds as many positives as its config allows.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO, Task

# Side of an object in pixels; those of COCO are between 32 and 96 for the
# most part.
OBJECT = 64
_SEED = 0


class BatchSize(NamedTuple):
    """Size of a batch.

    Attributes:
        images: Images or clips of a process in a step.
        shape: Height and width after padding, in pixels; of clips, views,
            frames, height and width.
        objects: Objects in each image; unused by segmentors and recognizers.
    """

    images: int
    shape: tuple[int, ...]
    objects: int = 0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the model's input, (B, 3, H, W) or (B, V, 3, T, H, W)."""
        *clip, height, width = self.shape
        if not clip:
            return (self.images, 3, height, width)
        views, frames = clip
        return (self.images, views, 3, frames, height, width)


class Batch(NamedTuple):
    """Input and data samples of a model, without numbers of a data set."""

    inputs: Tensor
    samples: list[Any]


def make_batch(task: Task, size: BatchSize, device: str = 'cpu') -> Batch:
    """Make a batch of noise, with objects spread over its images.

    Args:
        task: Task of the model.
        size: Size of the batch.
        device: Device of the tensors. On `meta`, only shapes exist.
    """
    generator = np.random.default_rng(_SEED)
    inputs = torch.zeros(size.input_shape, device=device)
    # Truth is small, and stays where its numbers can be read.
    device = 'cpu' if device == 'meta' else device
    make = {
        DETECTION.name: _detection_sample,
        SEGMENTATION.name: _segmentation_sample,
        VIDEO.name: _video_sample,
    }[task.name]
    samples = [make(size, generator, device) for _ in range(size.images)]
    return Batch(inputs, samples)


def _meta(size: BatchSize) -> dict[str, Any]:
    shape = size.shape[-2:]
    names = ('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape')
    return dict(dict.fromkeys(names, shape), scale_factor=(1.0, 1.0))


def _detection_sample(
    size: BatchSize, generator: np.random.Generator, device: str
) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    height, width = size.shape[-2:]
    count = max(size.objects, 1)
    boxes = torch.from_numpy(_boxes(count, (height, width), generator))
    sample = DetDataSample(metainfo=_meta(size))
    sample.gt_instances = InstanceData(
        bboxes=boxes.to(device),
        labels=torch.zeros(count, dtype=torch.int64, device=device),
        # ones, since pages of zeros take no memory until they are written
        masks=BitmapMasks(
            np.ones((count, height, width), np.uint8), height, width
        ),
    )
    sample.ignored_instances = InstanceData(
        bboxes=boxes.new_zeros(0, 4).to(device),
        labels=torch.zeros(0, dtype=torch.int64, device=device),
    )
    sample.gt_sem_seg = PixelData(
        sem_seg=torch.zeros(1, height, width, dtype=torch.uint8, device=device)
    )
    return sample


def _segmentation_sample(
    size: BatchSize, generator: np.random.Generator, device: str
) -> Any:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=_meta(size))
    labels = torch.zeros(1, *size.shape[-2:], dtype=torch.int64, device=device)
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def _video_sample(
    size: BatchSize, generator: np.random.Generator, device: str
) -> Any:
    from mmaction.structures import ActionDataSample

    label = torch.zeros(1, dtype=torch.int64, device=device)
    return ActionDataSample().set_gt_label(label)


def _boxes(
    count: int, shape: tuple[int, int], generator: np.random.Generator
) -> np.ndarray:
    """Return boxes x1, y1, x2, y2 in an image, (count, 4) of float32."""
    height, width = shape
    side = min(OBJECT, height / 2, width / 2)
    room = np.array([width - side, height - side])
    corners = generator.uniform(size=(count, 2)) * room
    return np.concatenate([corners, corners + side], 1).astype(np.float32)


@contextmanager
def worst_boxes(model: Any, batch: Batch) -> Iterator[None]:
    """Let RoI heads see as many boxes and positives as they may ever see.

    Proposals have their number from the RPN of the model. Half of them lie on
    objects. The same holds for the boxes that a stage of a cascade refines.

    Args:
        model: A model; unlike two-stage detectors, others stay as they are.
        batch: The batch that it is run on.
    """
    if not hasattr(model, 'roi_head'):
        yield
        return
    replaced = []

    def replace(module: nn.Module, name: str, function: Any) -> None:
        replaced.append((module, name))
        setattr(module, name, function)

    propose = model.rpn_head.loss_and_predict

    def loss_and_predict(*args: Any, **kwargs: Any) -> Any:
        losses, results = propose(*args, **kwargs)
        return losses, [
            _on_objects(result, sample)
            for result, sample in zip(results, batch.samples)
        ]

    replace(model.rpn_head, 'loss_and_predict', loss_and_predict)
    heads = model.roi_head.bbox_head
    for head in heads if isinstance(heads, nn.ModuleList) else [heads]:

        def refine(*args: Any, method: Any = head.refine_bboxes) -> Any:
            return [
                _on_objects(result, sample)
                for result, sample in zip(method(*args), batch.samples)
            ]

        replace(head, 'refine_bboxes', refine)
    operators: Any = sys.modules.get('mmcv.ops.nms')
    suppress = operators.nms
    operators.nms = _nms_of_any(suppress)
    try:
        yield
    finally:
        operators.nms = suppress
        for module, name in replaced:
            delattr(module, name)


def _on_objects(result: Any, sample: Any) -> Any:
    """Return as many boxes as in a result, half of them on objects."""
    from mmengine.structures import InstanceData

    count = len(result)
    objects = sample.gt_instances.bboxes
    generator = np.random.default_rng(_SEED)
    elsewhere = _boxes(count, sample.img_shape, generator)
    bboxes = torch.from_numpy(elsewhere).to(objects.device)
    on_objects = torch.arange(count // 2) % len(objects)
    bboxes[: count // 2] = objects[on_objects.to(objects.device)] + 1
    return InstanceData(
        bboxes=bboxes,
        labels=torch.zeros(count, dtype=torch.int64, device=objects.device),
        scores=torch.ones(count, device=objects.device),
    )


def _nms_of_any(suppress: Any) -> Any:
    """Return a suppression that keeps all boxes whose numbers are unknown."""

    def nms(boxes: Any, scores: Any, *args: Any, **kwargs: Any) -> Any:
        if type(boxes) is Tensor:
            return suppress(boxes, scores, *args, **kwargs)
        # (N, 5), (N, )
        return torch.cat([boxes, scores[:, None]], 1), torch.arange(len(boxes))

    return nms
