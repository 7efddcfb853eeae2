"""The parts of models that are exported, as modules from pixels to tensors."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO, Task
from swin_dense.layers import ExpertFeedForward


class ExportedPart(nn.Module):
    """The backbone of a model, which takes pixels and normalises them.

    Subclasses add the modules that follow the backbone.

    Args:
        model: A detector, segmentor or recognizer in evaluation mode.
        rank: Number of axes of inputs: 4 for images, 5 for clips.

    Attributes:
        description: What the part is, for people.
        channels: 'RGB' or 'BGR', the order of the channels of its input.
    """

    description = 'the backbone: the maps of its pyramid'

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, rank: int = 4) -> None:
        super().__init__()
        self.backbone: nn.Module = model.backbone
        preprocessor: Any = model.data_preprocessor
        # (1, C, 1, 1), or (1, C, 1, 1, 1) for clips
        shape = (1, -1, *(1,) * (rank - 2))
        for name, default in (('mean', 0.0), ('std', 1.0)):
            values = torch.as_tensor(getattr(preprocessor, name, default))
            self.register_buffer(name, values.float().reshape(shape).clone())
        swaps = getattr(preprocessor, '_channel_conversion', None)
        if swaps is None:  # of mmseg
            swaps = getattr(preprocessor, 'channel_conversion', True)
        self.channels = 'RGB' if swaps else 'BGR'

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs.

        Args:
            pixels: Images `(B, 3, H, W)` or clips `(B, 3, T, H, W)`, from 0
                to 255.
        """
        return self.compute((pixels - self.mean) / self.std)

    def compute(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the pyramid `(B, C, *grid)`."""
        maps = self.backbone(x)
        return maps if isinstance(maps, tuple) else (maps,)

    def output_names(self, count: int) -> list[str]:
        """Return names for a number of outputs."""
        return [f'map{index}' for index in range(count)]


class NeckPart(ExportedPart):
    """Backbone and neck of a model; see `ExportedPart`."""

    description = (
        'backbone and neck: the number of boxes of a detector depends on the '
        'image, so its heads are not exported'
    )

    def __init__(self, model: Any, rank: int = 4) -> None:
        super().__init__(model, rank)
        self.neck = model.neck if model.with_neck else None

    def compute(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the neck `(B, C, H', W')`."""
        maps = super().compute(x)
        return maps if self.neck is None else tuple(self.neck(maps))


class SegmentorPart(NeckPart):
    """A whole segmentor; see `ExportedPart`."""

    description = 'the whole segmentor: logits at the size of the input'

    def __init__(self, model: Any, rank: int = 4) -> None:
        super().__init__(model, rank)
        self.decode_head = model.decode_head
        self.align_corners = model.align_corners

    def compute(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the logits `(B, classes, H, W)`."""
        logits = F.interpolate(
            self.decode_head(super().compute(x)),
            size=x.shape[2:],
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return (logits,)

    def output_names(self, count: int) -> list[str]:
        """Return the name of the output."""
        return ['logits']


class RecognizerPart(ExportedPart):
    """A whole recognizer; see `ExportedPart`."""

    description = 'the whole recognizer: probabilities of the classes'

    def __init__(self, model: Any, rank: int = 5) -> None:
        super().__init__(model, rank)
        self.cls_head = model.cls_head

    def compute(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities `(B, classes)`."""
        (features,) = super().compute(x)
        return (self.cls_head(features).softmax(1),)

    def output_names(self, count: int) -> list[str]:
        """Return the name of the output."""
        return ['scores']


def choose_part(
    model: nn.Module, task: Task, backbone_alone: bool = False
) -> ExportedPart:
    """Return the part of a model that can be exported.

    Args:
        model: The model in evaluation mode.
        task: Its task.
        backbone_alone: If True, the backbone's pyramid.

    Raises:
        ValueError: If nothing of the model can be exported.
    """
    kind = type(model).__name__
    if not hasattr(model, 'backbone'):
        raise ValueError(
            f'a {kind} has no backbone of its own, so it cannot be exported: '
            'use the config and the weights of the model inside of it'
        )
    if any(isinstance(m, ExpertFeedForward) for m in model.modules()):
        raise ValueError(
            'a SwinMoE with experts cannot be exported, since the tokens of '
            'an expert depend on the image'
        )
    if backbone_alone:
        return ExportedPart(model, 5 if task is VIDEO else 4)
    if task is DETECTION:
        return NeckPart(model)
    whole, head = (
        ('EncoderDecoder', type(model).__name__)
        if task is SEGMENTATION
        else ('I3DHead', type(model.cls_head).__name__)
    )
    if head != whole:
        raise ValueError(
            f'a {kind} with {head} cannot be exported as a whole, only '
            f'{task.models} with {whole}: add --backbone to export its '
            'backbone'
        )
    return (
        SegmentorPart(model) if task is SEGMENTATION else RecognizerPart(model)
    )
