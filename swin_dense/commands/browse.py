"""Draw samples of a data set as the model gets them.

Images and clips are drawn after all steps of the pipeline, augmentation
included, with their boxes, masks, label maps and classes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed

from swin_dense.data.wrappers import class_names_of, inner_datasets
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config
from swin_dense.engine.tasks import task_of
from swin_dense.preflight.picture import first_image
from swin_dense.wording import counted

SPLITS = ('train', 'val', 'test')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense browse mask_rcnn_swin_nano_shapes --out samples',
    )
    cli.add_config_argument(parser)
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the pictures'
    )
    parser.add_argument(
        '--split',
        choices=SPLITS,
        default='train',
        help='which data set of the config (default: train)',
    )
    parser.add_argument(
        '--count',
        type=int,
        default=16,
        metavar='N',
        help='number of samples, spread over the data set (default: 16)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the augmentation (default: 0)',
    )
    cli.add_config_arguments(parser)
    return parser


def browse(args: argparse.Namespace) -> int:
    """Write a picture of each sample; print the folder.

    Raises:
        ValueError: If the config has no such data set, or the count is too
            small.
    """
    if args.count < 1:
        raise ValueError(f'--count {args.count} must be at least 1')
    cfg = load_config(args.config, args.cfg_options)
    draw = task_of(cfg).load('draw_sample')
    dataset = build_dataset(cfg, args.split)
    first = inner_datasets(dataset)[0]
    meta = {**first.metainfo, 'classes': class_names_of(dataset)}
    original = loads_labels_last(first)
    count = min(args.count, len(dataset))
    places = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    set_random_seed(args.seed)
    for place in places.tolist():
        sample = dataset[place]
        image = image_of(sample, original)
        name = sample_name(sample['data_samples'], place)
        cli.write_image(
            Path(args.out, f'{place:06d}_{name}.png'),
            draw(sample, image, meta),
        )
    print(f'{counted(count, "picture")} in {args.out}')
    return 0


def build_dataset(cfg: Config, split: str) -> Any:
    """Return a data set of a config.

    Raises:
        ValueError: If the config has none for this split.
    """
    settings = (cfg.get(f'{split}_dataloader') or {}).get('dataset')
    if not settings:
        raise ValueError(f'the config has no {split}_dataloader')
    init_default_scope(cfg.default_scope)
    return DATASETS.build(settings)


def loads_labels_last(dataset: Any) -> bool:
    """Return True if labels are loaded after the image has been resized.

    Validation sets do so: their labels keep the size of the file.
    """
    names = [
        type(step).__name__
        for step in getattr(dataset.pipeline, 'transforms', ())
    ]
    loading = [i for i, name in enumerate(names) if name == 'LoadAnnotations']
    resizing = [i for i, name in enumerate(names) if 'Resize' in name]
    return bool(loading and resizing) and min(resizing) < max(loading)


def image_of(sample: dict[str, Any], original: bool) -> np.ndarray:
    """Return the image of a sample, (H, W, 3), BGR, uint8.

    Args:
        sample: What a data set returns. Clips have no image: the first frame
            of the first view stands for it.
        original: If True, resize it to the size of its file.
    """
    image = first_image(sample['inputs'])
    if original:
        height, width = sample['data_samples'].ori_shape[:2]
        image = cv2.resize(image, (width, height))
    return image


def sample_name(data_sample: Any, place: int) -> str:
    """Return the name of a sample's file, without folder and ending."""
    path = data_sample.get('img_path') or data_sample.get('filename') or ''
    return Path(str(path)).stem or f'sample_{place}'


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(browse, make_parser().parse_args(argv))
