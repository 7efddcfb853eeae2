"""Draw masked input, reconstruction and original of images side by side.

The reconstruction shows predicted pixels where the input is masked, and the
original elsewhere. A target that was normalised is predicted without its mean
and contrast: those of the original are put back.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope

from swin_dense.checkpoints.load import load_model
from swin_dense.data.image_files import read_image
from swin_dense.engine import cli
from swin_dense.engine.input_files import find_images
from swin_dense.engine.launch import load_config
from swin_dense.files import replacing
from swin_dense.pretraining.transforms import pixels_first
from swin_dense.registry import MODELS, TRANSFORMS
from swin_dense.visualization.contact_sheets import picture_sheet

TITLES = ('masked input', 'reconstruction', 'original')
TILE = 224
GREY = 127


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'python projects/simmim/picture.py '
        'projects/simmim/configs/simmim_swin_nano_shapes.py '
        'work_dirs/simmim_swin_nano_shapes/iter_900.pth '
        'data/shapes/val2017 --out reconstruction.png',
    )
    parser.add_argument('config', help='config of the pretraining')
    parser.add_argument('checkpoint', help='checkpoint of the pretraining')
    parser.add_argument('images', nargs='+', help='images or folders of them')
    parser.add_argument(
        '--limit', type=int, default=6, help='number of images (default: 6)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the masks (default: 0)'
    )
    parser.add_argument(
        '--out', required=True, metavar='FILE.png', help='picture to write'
    )
    cli.add_config_arguments(parser)
    return parser


def pictures_of(
    model: Any, image: np.ndarray, mask: np.ndarray
) -> list[np.ndarray]:
    """Return masked input, reconstruction and original of an image.

    Args:
        model: A `SimMIM` in evaluation mode.
        image: Image (H, W, 3) uint8 in BGR.
        mask: 1 for each masked patch, (H / 4, W / 4).

    Returns:
        Three images (H, W, 3) uint8 in BGR.
    """
    preprocessor = model.data_preprocessor
    pixels = preprocessor.normalise(pixels_first(image)[None])  # (1, 3, H, W)
    with torch.no_grad():
        predicted = model(pixels, torch.from_numpy(mask)[None])
        predicted = model.invert_target(predicted, pixels)
    height, width = (
        side // cells for side, cells in zip(image.shape, mask.shape)
    )
    is_masked = mask.repeat(height, 0).repeat(width, 1)[..., None] == 1
    drawn = preprocessor.restore(predicted)[0].permute(1, 2, 0).numpy()
    return [
        np.where(is_masked, np.uint8(GREY), image),
        np.where(is_masked, drawn, image),
        image,
    ]


def crop_to(image: np.ndarray, size: int) -> np.ndarray:
    """Return the middle of an image, resized to a square of `size` pixels."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = image[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(middle, (size, size), interpolation=method)


def draw(args: argparse.Namespace) -> int:
    """Reconstruct the images and write the picture."""
    if args.limit < 1:
        raise ValueError(f'--limit {args.limit} must be 1 or more')
    config = load_config(args.config, args.cfg_options)
    init_default_scope(config.default_scope)
    steps = config.train_dataloader.dataset.pipeline
    settings = [step for step in steps if step['type'].endswith('SimMIMMask')]
    if not settings:
        raise ValueError(
            f'{args.config} masks no images: its training pipeline has no '
            'SimMIMMask. Give a config of a SimMIM pretraining'
        )
    mask = TRANSFORMS.build(settings[0])
    model = MODELS.build(config.model).eval()
    load_model(model, args.checkpoint)
    np.random.seed(args.seed)
    groups = []
    for path in find_images(args.images)[: args.limit]:
        image = crop_to(read_image(path), settings[0].img_size)
        groups.append(pictures_of(model, image, mask.draw()))
    sheet = picture_sheet(groups, TITLES, columns=2, tile=TILE)
    out = Path(args.out)
    if out.suffix.lower() != '.png':
        raise ValueError(f'--out {out} must end in .png')
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        partial.write_bytes(cv2.imencode('.png', sheet)[1].tobytes())
    print(f'{len(groups)} images: {out}')
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    return cli.run(draw, make_parser().parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
