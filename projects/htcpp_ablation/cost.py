"""Measure the parameters, FLOPs and time that each ingredient adds to HTC++.

Parameters and FLOPs are the difference between the model with and without the
ingredient. The time is the CPU time of its operations for one image.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from swin_dense.analysis.flops import count_flops
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config

PROPOSALS, MASKS, STAGES = 1000, 100, 3
# Rough numbers of candidates of a trained model above the score threshold, and
# of objects in an image of COCO.
CANDIDATES, OBJECTS = 3000, 7

SEMANTIC, ATTENTION = 'semantic branch', 'global attention'
FLOW = 'mask information flow'
CONVOLUTIONS = 'four convolutions, not one layer'
ROI_HEAD = 'model.roi_head'
WITHOUT: dict[str, dict[str, Any]] = {
    SEMANTIC: {f'{ROI_HEAD}.semantic_head': None},
    ATTENTION: {'model.neck.global_attention': None},
    FLOW: {f'{ROI_HEAD}.mask_head.{stage}.with_conv_res': False
           for stage in range(STAGES)},
    CONVOLUTIONS: {f'{ROI_HEAD}.bbox_head.{stage}.num_shared_{kind}': number
                   for stage in range(STAGES)
                   for kind, number in (('convs', 0), ('fcs', 2))},
}  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'python projects/htcpp_ablation/cost.py '
        'configs/htcpp_swin_b_coco.py --out cost.json',
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--shape',
        type=int,
        nargs=2,
        default=[800, 1280],
        metavar='PIXELS',
        help='height and width of the image (default: 800 1280)',
    )
    parser.add_argument(
        '--repeats', type=int, default=5, help='of which the fastest counts'
    )
    parser.add_argument('--out', metavar='FILE.json')
    cli.add_debug_argument(parser)
    return parser


def build(path: str, options: dict[str, Any], device: str) -> nn.Module:
    """Build the model of a config with changed settings, without weights."""
    config = load_config(path, options)
    init_default_scope(config.default_scope)
    config.model.backbone.init_cfg = None
    with torch.device(device):
        return MODELS.build(config.model).eval()


def size(
    path: str, options: dict[str, Any], shape: Sequence[int]
) -> tuple[int, int]:
    """Return the numbers of parameters and FLOPs."""
    complexity = count_flops(
        build(path, options, 'meta'), shape, PROPOSALS, MASKS
    )
    return complexity.params, complexity.flops


def operations(
    model: nn.Module, shape: Sequence[int]
) -> dict[str, Callable[[], Any]]:
    """Return a function per ingredient that runs its operations once."""
    height, width = shape
    channels = model.neck.out_channels
    pyramid = [
        torch.randn(1, channels, height >> level, width >> level)
        for level in range(2, 2 + model.neck.num_outs)
    ]
    last = torch.randn(1, model.neck.in_channels[-1], height >> 5, width >> 5)
    corners = torch.rand(PROPOSALS, 2) * torch.tensor([width, height]) * 0.8
    sides = torch.rand(PROPOSALS, 2) * torch.tensor([width, height]) * 0.2
    rois = torch.cat([torch.zeros(PROPOSALS, 1), corners, corners + sides], 1)
    boxes = torch.randn(PROPOSALS, channels, 7, 7)
    masks = torch.randn(MASKS, channels, 14, 14)
    head = model.roi_head

    def semantic() -> None:
        feature = head.semantic_head(pyramid)[1]
        for reached in [rois] * STAGES + [rois[:MASKS]]:
            head.semantic_roi_extractor([feature], reached)

    def convolutions() -> None:
        for stage in head.bbox_head:
            x = boxes
            for convolution in stage.shared_convs:
                x = convolution(x)

    def flow() -> None:
        for stage in head.mask_head:
            if stage.with_conv_res:
                stage.conv_res(masks)

    return {
        SEMANTIC: semantic,
        ATTENTION: lambda: model.neck.global_attention(last),
        FLOW: flow,
        CONVOLUTIONS: convolutions,
        'soft-NMS, not NMS': suppression('soft_nms', rois),
        'NMS': suppression('nms', rois),
        'moved objects, in training': moving(),
    }


def suppression(kind: str, rois: torch.Tensor) -> Callable[[], Any]:
    """Return a function that runs NMS on boxes with several likely classes."""
    from mmdet.models.layers import multiclass_nms

    likely = torch.randint(80, (PROPOSALS, CANDIDATES // PROPOSALS))
    scores = torch.zeros(PROPOSALS, 81).scatter(
        1, likely, torch.rand(likely.shape)
    )
    return lambda: multiclass_nms(
        rois[:, 1:], scores, 0.001, dict(type=kind, iou_threshold=0.5), 100
    )


def moving() -> Callable[[], Any]:
    """Return a function that moves the objects of an image of COCO's size."""
    from mmdet.structures.bbox import HorizontalBoxes
    from mmdet.structures.mask import BitmapMasks

    from swin_dense.detection.instance_jitter import InstanceJitter

    shape = (480, 640)
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    masks = np.zeros((OBJECTS, *shape), np.uint8)
    for index, mask in enumerate(masks):
        mask[100:300, 90 * index : 90 * index + 70] = 1
    boxes = [[90 * i, 100, 90 * i + 70, 300] for i in range(OBJECTS)]
    jitter = InstanceJitter(prob=1.0)
    return lambda: jitter(
        dict(
            img=image,
            gt_masks=BitmapMasks(masks, *shape),
            gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32)),
            gt_ignore_flags=np.zeros(OBJECTS, bool),
        )
    )


def fastest(operation: Callable[[], Any], repeats: int) -> float:
    """Return the CPU seconds of the fastest call, after a warm-up call.

    Other work on the machine has little influence on CPU time.
    """
    operation()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        operation()
        times.append(time.process_time() - start)
    return min(times)


def cost(args: argparse.Namespace) -> int:
    """Count, measure and print the table."""
    params, flops = size(args.config, {}, args.shape)
    rows: list[dict[str, Any]] = []
    torch.manual_seed(0)
    model = build(args.config, {}, 'cpu')
    with torch.no_grad():
        for name, operation in operations(model, args.shape).items():
            row = dict(name=name, seconds=fastest(operation, args.repeats))
            if name in WITHOUT:
                less = size(args.config, WITHOUT[name], args.shape)
                row.update(params=params - less[0], flops=flops - less[1])
            rows.append(row)
    print(
        f'{args.config}, {args.shape[0]} x {args.shape[1]} pixels, '
        f'{torch.get_num_threads()} CPU threads: {params / 1e6:.2f} M '
        f'parameters, {flops / 1e9:.2f} GFLOPs'
    )
    print(
        '| ingredient | parameters (M) | FLOPs (G) | CPU ms |\n'
        '| --- | --: | --: | --: |'
    )
    for row in rows:
        sizes = (
            f'{row["params"] / 1e6:+.2f} | {row["flops"] / 1e9:+.2f}'
            if 'params' in row
            else '0 | 0'
        )
        print(f'| {row["name"]} | {sizes} | {row["seconds"] * 1e3:.0f} |')
    if args.out:
        cli.write_json(
            args.out,
            dict(
                config=args.config,
                shape=args.shape,
                threads=torch.get_num_threads(),
                params=params,
                flops=flops,
                ingredients=rows,
            ),
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(cost, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
