"""Measure what a frozen backbone knows: classify objects by its features.

Objects are cut out of the images of a detector's data set. A linear classifier
learns their classes from the mean of the backbone's last map, on the training
images, and is judged on the validation images. Random weights are judged, too.

The features are standardised; the classifier is a logistic regression.
"""

import argparse
import sys
from collections.abc import Sequence
from statistics import mean
from typing import Any

import cv2
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from swin_dense.checkpoints.load import load_backbone
from swin_dense.data.image_files import read_image
from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.pretraining.preprocessor import ImagePreprocessor
from swin_dense.pretraining.transforms import pixels_first
from swin_dense.registry import DATASETS, MODELS
from swin_dense.wording import counted

# Side of a crop, divided by the longer side of the object's box.
MARGIN = 1.25
BATCH = 64
PENALTY = 1e-3


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'python -m swin_dense.pretraining.linear_probe '
        'work_dirs/moby_swin_nano_shapes/iter_1200.pth',
    )
    parser.add_argument(
        'checkpoints', nargs='+', help='checkpoints of pretrainings'
    )
    parser.add_argument(
        '--config',
        default='mask_rcnn_swin_nano_shapes',
        help='detector whose backbone and data are used (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        metavar='PIXELS',
        help='side of the crops (default: %(default)s)',
    )
    parser.add_argument(
        '--seeds',
        type=int,
        nargs='+',
        default=[0, 1, 2],
        help='of the random weights (default: 0 1 2)',
    )
    cli.add_config_arguments(parser)
    return parser


def object_crops(dataset: Any, size: int) -> tuple[Tensor, Tensor]:
    """Cut the objects out of the images of a detection data set.

    Args:
        dataset: Data set whose items have `img_path` and `instances`.
        size: Side of the crops in pixels.

    Returns:
        Crops `(N, 3, size, size)` uint8 in BGR, and labels `(N,)`. A crop is
        a square with the object in its centre; where it leaves the image, the
        border is repeated.
    """
    crops, labels = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        image = read_image(info['img_path'])
        for each in info['instances']:
            if each.get('ignore_flag'):
                continue
            left, top, right, bottom = each['bbox']
            side = max(1, round(MARGIN * max(right - left, bottom - top)))
            # OpenCV's coordinates are integers at pixel centres.
            centre = ((left + right - 1) / 2, (top + bottom - 1) / 2)
            crop = cv2.getRectSubPix(image, (side, side), centre)
            method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
            crop = cv2.resize(crop, (size, size), interpolation=method)
            crops.append(pixels_first(crop))  # (3, size, size)
            labels.append(each['bbox_label'])
    if not crops:
        raise ValueError('no objects: the data set has no annotations')
    return torch.stack(crops), torch.tensor(labels)


@torch.no_grad()
def mean_features(backbone: nn.Module, crops: Tensor) -> Tensor:
    """Return the mean of the last map of each crop.

    Args:
        backbone: Backbone that returns maps `(B, C, h, w)`.
        crops: `(N, 3, H, W)` uint8 in BGR.

    Returns:
        Features `(N, C)`, float64.
    """
    backbone.eval()
    normalise = ImagePreprocessor().normalise
    parts = [
        backbone(normalise(batch))[-1].mean((-2, -1))  # (B, C)
        for batch in crops.split(BATCH)
    ]
    return torch.cat(parts).double()


def probe_accuracy(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]
) -> float:
    """Train a linear classifier; return its accuracy on other examples.

    Args:
        train: Features `(N, C)`, float64, and labels `(N,)` to learn from.
        val: Features `(M, C)` and labels `(M,)` to judge by.

    Returns:
        Share of right answers, 0 to 1.
    """
    features, labels = train
    centre, scale = features.mean(0), features.std(0).clamp(min=1e-9)
    classifier = nn.Linear(
        features.shape[1], int(labels.max()) + 1, dtype=features.dtype
    )
    # The loss is convex: the start decides nothing but the time.
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.LBFGS(
        classifier.parameters(), max_iter=200, line_search_fn='strong_wolfe'
    )
    inputs = (features - centre) / scale

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(classifier(inputs), labels)
        value = value + PENALTY * classifier.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    features, labels = val
    with torch.no_grad():
        answers = classifier((features - centre) / scale).argmax(1)  # (M,)
    return float((answers == labels).double().mean())


def probe(args: argparse.Namespace) -> int:
    """Judge random weights and the checkpoints, and print a table."""
    if args.size < 1:
        raise ValueError(f'--size {args.size} must be 1 or more')
    paths = [find_checkpoint(path) for path in args.checkpoints]
    config = load_config(args.config, args.cfg_options)
    init_default_scope(config.default_scope)
    splits = [
        object_crops(DATASETS.build(loader.dataset), args.size)
        for loader in (config.train_dataloader, config.val_dataloader)
    ]

    def accuracy(seed: int, checkpoint: str | None = None) -> float:
        torch.manual_seed(seed)
        # As in the pretraining, windows shrink to maps that are smaller.
        settings = dict(init_cfg=None, pad_small_map=False)
        backbone = MODELS.build({**config.model.backbone, **settings})
        backbone.init_weights()
        if checkpoint:
            load_backbone(backbone, checkpoint, final_norm=True)
        train, val = (
            (mean_features(backbone, crops), labels)
            for crops, labels in splits
        )
        return probe_accuracy(train, val)

    (_, learnt), (_, judged) = splits
    chance = int(judged.bincount().max()) / len(judged)
    print(
        f'{len(learnt)} objects to learn from, {len(judged)} to judge by; '
        f'{chance:.3f} of them are of the most frequent class\n\n'
        '| weights | accuracy | spread |\n| --- | --: | --: |'
    )
    scores = [accuracy(seed) for seed in args.seeds]
    print(
        f'| random, {counted(len(scores), "seed")} | {mean(scores):.3f} | '
        f'{max(scores) - min(scores):.3f} |'
    )
    for path in paths:
        print(f'| {path} | {accuracy(0, path):.3f} | |')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(probe, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
