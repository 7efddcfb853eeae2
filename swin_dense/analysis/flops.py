"""Parameters and FLOPs of a whole model, part by part.

One FLOP here is one multiply-accumulate of a convolution or of a matrix
product, attention included, as in the published columns. These also count the
linear layers of padding, which our kernels leave out. The model runs on the
meta device, which computes nothing and needs no memory.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swin_dense.engine.tasks import SEGMENTATION, VIDEO, find_task
from swin_dense.kernels import PlainKernels, use
from swin_dense.layers import WindowMixer
from swin_dense.ops import WindowLayout

FLOPS_PER_MAC = 2  # torch's counter reports 2 for a multiply-accumulate
DENSE_HEADS = ('rpn_head', 'bbox_head', 'mask_head', 'decode_head', 'cls_head')
TRAINING_HEADS = ('auxiliary_head',)  # they have parameters, but do not run
ROI_HEADS = ('bbox_head', 'mask_head')
SEMANTIC_HEAD = 'semantic_head'  # of HTC: a map beside the boxes


@dataclass(frozen=True)
class Part:
    """Size and cost of one part of a model.

    Attributes:
        name: Path of the part in the model, for example `roi_head.mask_head`.
        params: Number of parameters, frozen ones included.
        flops: Number of multiply-accumulates.
    """

    name: str
    params: int
    flops: int


@dataclass(frozen=True)
class Complexity:
    """Parameters and FLOPs of a model.

    Attributes:
        shape: Height and width of the image, in pixels; of a clip, its
            frames before them.
        parts: The parts, in the order in which they run.
    """

    shape: tuple[int, ...]
    parts: list[Part]

    @property
    def params(self) -> int:
        """Number of parameters of the whole model."""
        return sum(part.params for part in self.parts)

    @property
    def flops(self) -> int:
        """Number of multiply-accumulates for one image or clip."""
        return sum(part.flops for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and both totals as plain types, for JSON."""
        return dict(asdict(self), params=self.params, flops=self.flops)

    def table(self) -> str:
        """Draw one line per part, the whole model last."""
        rows = self.parts + [Part('total', self.params, self.flops)]
        width = max(len(row.name) for row in rows)
        lines = [f'{"part":{width}}  parameters (M)  FLOPs (G)  share']
        lines += [
            f'{row.name:{width}}  {row.params / 1e6:14.2f}'
            f'  {row.flops / 1e9:9.2f}  {row.flops / self.flops:5.1%}'
            for row in rows
        ]
        return '\n'.join(lines)


class _OfficialKernels(PlainKernels):
    """Kernels that cut windows before any linear layer, as official code does.

    The queries, keys, values and projections of padding then count too.
    """

    name = 'official'

    def can_run_block(self, block: Any, x: torch.Tensor) -> bool:
        return True

    def run_block(
        self, block: Any, x: torch.Tensor, layout: WindowLayout
    ) -> torch.Tensor:
        mixer, mlp = block.mixer, block.mlp
        if block.post_norm:
            x = x + block.norm1(WindowMixer.forward(mixer, x, layout, self))
            x = x + block.norm2(mlp(x, self))
        else:
            x = x + WindowMixer.forward(mixer, block.norm1(x), layout, self)
            x = x + mlp(block.norm2(x), self)
        return x if block.norm3 is None else block.norm3(x)


def published_shape(config: Config) -> list[int]:
    """Return the input size of published figures, (H, W) or (T, H, W)."""
    task = find_task(config)
    if task is VIDEO:
        return _clip_shape(config.val_dataloader.dataset.pipeline)
    if task is SEGMENTATION:
        for step in config.test_dataloader.dataset.pipeline:
            if step['type'] == 'Resize' and 'scale' in step:
                return sorted(step['scale'])
    return [800, 1280]


def _clip_shape(pipeline: Sequence[dict[str, Any]]) -> list[int]:
    """Return frames, height and width of the output of a clip pipeline."""
    frames, side = [], 224
    for step in pipeline:
        if 'clip_len' in step:
            frames = [step['clip_len']]
        side = step.get('crop_size', side)
    return frames + [side, side]


def count_flops(
    model: nn.Module,
    shape: Sequence[int],
    proposals: int = 1000,
    masks: int = 100,
) -> Complexity:
    """Count parameters and multiply-accumulates of a model that predicts.

    The cost of RoI heads depends on the number of boxes that reach them. In
    the published columns every box head sees 1000 boxes and every mask head
    100, whatever the image shows. Auxiliary heads run in training only: their
    parameters count, their FLOPs do not.

    Args:
        model: A detector of mmdet's layout (`backbone`, `neck`, `rpn_head` or
            another dense head, `roi_head`), a segmentor of mmseg's
            (`backbone`, `neck`, `decode_head`, `auxiliary_head`), a
            recognizer of mmaction2's (`backbone`, `cls_head`), or a bare
            backbone. The model is not changed.
        shape: Height and width of the image, in pixels; for Video Swin the
            frames of a clip before them.
        proposals: Number of boxes each RoI box head sees.
        masks: Number of boxes each RoI mask head sees.

    Raises:
        ValueError: If `shape` is not two positive numbers, or three for
            clips, or if the model has a part that this function does not
            know how to run.
    """
    clips = any(isinstance(part, nn.Conv3d) for part in model.modules())
    if len(shape) != 2 + clips or min(shape) < 1:
        what, example = (
            ('number of frames, height and width', (32, 224, 224))
            if clips
            else ('height and width in pixels', (800, 1280))
        )
        raise ValueError(
            f'shape must be a positive {what}, for example '
            f'{example}; got {tuple(shape)}'
        )
    # On the meta device, numbers that decide the control flow do not exist.
    # The copy keeps the numbers that constructors computed. It gets empty
    # tensors in place of the weights, which may take a gigabyte.
    shapes: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().to('meta'))
        for weight in model.parameters()
    }
    model = deepcopy(model, shapes).eval().to('meta')
    image = torch.empty(1, 3, *shape, device='meta')
    parts = []
    with torch.no_grad(), use(_OfficialKernels):
        for name, module, inputs in _calls(model, image, proposals, masks):
            runs = name not in TRAINING_HEADS
            parts.append(
                Part(
                    name,
                    _params(module),
                    _flops(module, inputs) if runs else 0,
                )
            )
    left = _params(model) - sum(part.params for part in parts)
    if left:
        names = sorted(
            {name.split('.')[0] for name, _ in model.named_parameters()}
            - {part.name.split('.')[0] for part in parts}
        )
        raise ValueError(
            f'{left} parameters belong to parts that are not counted '
            f'({", ".join(names)}); known are a backbone, a neck, the dense '
            f'heads {", ".join(DENSE_HEADS + TRAINING_HEADS)} and RoI heads. '
            'Count the parts one by one.'
        )
    return Complexity(tuple(shape), parts)


def _calls(
    model: Any, image: torch.Tensor, proposals: int, masks: int
) -> Iterator[tuple[str, nn.Module, Any]]:
    """Yield name, module and input of every part, in running order."""
    if not hasattr(model, 'backbone'):
        yield type(model).__name__, model, image
        return
    yield 'backbone', model.backbone, image
    features = model.backbone(image)
    if hasattr(model, 'neck'):
        yield 'neck', model.neck, features
        features = model.neck(features)
    for name in DENSE_HEADS + TRAINING_HEADS:
        if hasattr(model, name):
            yield name, getattr(model, name), features
    if hasattr(model, 'roi_head'):
        if getattr(model.roi_head, SEMANTIC_HEAD, None) is not None:
            yield (
                f'roi_head.{SEMANTIC_HEAD}',
                model.roi_head.semantic_head,
                features,
            )
        for name, boxes in zip(ROI_HEADS, (proposals, masks)):
            if hasattr(model.roi_head, name):
                yield (
                    f'roi_head.{name}',
                    getattr(model.roi_head, name),
                    _roi_features(model.roi_head, name, boxes),
                )


def _roi_features(roi_head: nn.Module, head: str, boxes: int) -> torch.Tensor:
    """Return the input of a RoI head, (boxes, C, h, w)."""
    extractor: Any = getattr(roi_head, head.replace('head', 'roi_extractor'))
    if isinstance(extractor, nn.ModuleList):
        extractor = extractor[0]
    size = extractor.roi_layers[0].output_size
    return torch.empty(boxes, extractor.out_channels, *size, device='meta')


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _flops(module: nn.Module, inputs: Any) -> int:
    """Count multiply-accumulates of a module or of all stages of a cascade.

    In HTC, a mask head takes features of the head before it as well.
    """
    stages = module if isinstance(module, nn.ModuleList) else [module]
    passed = None
    with FlopCounterMode(display=False) as counter:
        for stage in stages:
            if hasattr(stage, 'with_conv_res'):
                previous = passed if stage.with_conv_res else None
                _, passed = stage(inputs, previous)
            else:
                stage(inputs)
    return counter.get_total_flops() // FLOPS_PER_MAC
