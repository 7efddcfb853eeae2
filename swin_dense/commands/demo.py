"""Generate data, train a small Swin model, evaluate and draw it.

This takes minutes on two CPU cores. A second run uses the finished training,
or continues an interrupted training.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel

from swin_dense.checkpoints.files.read import TRAINING_STATE, read_checkpoint
from swin_dense.commands.web import check_gradio, web
from swin_dense.commands.web import make_parser as make_web_parser
from swin_dense.data.image_files import read_image
from swin_dense.data.video_reader import Video
from swin_dense.detection.predictor import DetectionPredictor
from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.engine.resume import find_latest
from swin_dense.engine.tasks import SEGMENTATION, VIDEO, task_of
from swin_dense.engine.training_curves import PICTURE as CURVES
from swin_dense.engine.work_dir_lock import check_not_training
from swin_dense.registry import DATASETS
from swin_dense.visualization import contact_sheet, label_sheet
from swin_dense.visualization.clip_sheet import clip_sheet

CONFIG = 'cascade_swin_nano_shapes'
SHEET = 'contact_sheet.png'
IMAGES = 8
FRAMES = 6
METRICS = (
    'coco/bbox_mAP',
    'coco/bbox_mAP_50',
    'coco/segm_mAP',
    'coco/segm_mAP_50',
    'aAcc',
    'mIoU',
    'mAcc',
    'acc/top1',
    'acc/mean1',
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(__doc__, 'swin-dense demo')
    parser.add_argument(
        '--config',
        default=CONFIG,
        help='config file or name (default: %(default)s)',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/demo',
        help='folder for the results (default: work_dirs/demo)',
    )
    parser.add_argument(
        '--fresh',
        action='store_true',
        help='start a new training, also if the folder has checkpoints',
    )
    parser.add_argument(
        '--web',
        action='store_true',
        help='then open the model in the browser, as swin-dense web does',
    )
    # Two processes use two cores better than the threads of one.
    alone = torch.cuda.is_available() or (os.cpu_count() or 1) < 2
    parser.add_argument(
        '--processes',
        type=int,
        default=1 if alone else 2,
        metavar='N',
        help='number of processes that share a batch (default here: '
        '%(default)s)',
    )
    cli.add_config_arguments(parser)
    return parser


def demo(args: argparse.Namespace) -> int:
    """Train unless the training is finished, test, and draw a sheet."""
    if args.web:
        check_gradio()
    work_dir = Path(args.work_dir)
    check_not_training(work_dir)
    cfg = load_config(args.config, args.cfg_options)
    resume = None if args.fresh else 'auto'
    apply_command_line(cfg, work_dir=args.work_dir, resume=resume)
    finished = bool(resume) and is_finished(cfg)
    if finished:
        print(
            f'The training in {work_dir} is finished; add --fresh to train '
            'again'
        )
    # A finished demonstration need not be tested again to be shown.
    if not (args.web and finished and (work_dir / SHEET).exists()):
        train_and_test(args, cfg, finished)
    if args.web:
        words = [args.config, str(find_latest(work_dir)), '--browser']
        options = make_web_parser().parse_args(words)
        options.cfg_options = args.cfg_options
        return web(options)
    return 0


def train_and_test(
    args: argparse.Namespace, cfg: Config, finished: bool
) -> None:
    """Train, test, and draw a sheet.

    Args:
        args: Arguments of the command.
        cfg: Config of the training.
        finished: If True, there is nothing to train.
    """
    start = time.monotonic()
    work_dir = Path(args.work_dir)
    if not finished:
        train(cfg, args.processes)
    checkpoint = str(find_latest(work_dir))
    cfg = load_config(args.config, args.cfg_options)
    apply_command_line(cfg, work_dir=args.work_dir, load_from=checkpoint)
    runner = build_runner(cfg)
    metrics = runner.test()
    cli.write_json(work_dir / 'metrics.json', metrics)
    dataset = runner.test_dataloader.dataset
    task = task_of(cfg)
    if task is SEGMENTATION:
        picture = draw_label_sheet(runner.model, dataset)
    elif task is VIDEO:
        picture = draw_clip_sheet(runner.model, dataset)
    else:
        picture = draw_sheet(DetectionPredictor(cfg, checkpoint), dataset)
    sheet = work_dir / SHEET
    cli.write_image(sheet, picture)
    pictures = [sheet, work_dir / CURVES, *runner.write_pictures()]

    print(f'\nValidation set after {time.monotonic() - start:.0f} s:')
    for name in METRICS:
        if name in metrics:
            print(f'  {name.split("/")[-1]:12} {metrics[name]:.3f}')
    print(f'weights: {checkpoint}\npictures:')
    for path in pictures:
        if path.exists():
            print(f'  {path}')


def train(cfg: Config, processes: int) -> None:
    """Train in this process, or in several processes that share the batch.

    Raises:
        ChildProcessError: If a process failed.
    """
    if processes == 1:
        build_runner(cfg).train()
        return
    # Generate the images once, before several processes need them.
    DATASETS.build({**cfg.train_dataloader.dataset, 'pipeline': []})
    cfg.train_dataloader.batch_size //= processes
    path = Path(cfg.work_dir, 'train_config.py')
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(str(path))
    threads = max(1, (os.cpu_count() or 1) // processes)
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            str(processes),
            '-m',
            'swin_dense',
            'train',
            str(path),
            '--launcher',
            'pytorch',
            '--work-dir',
            cfg.work_dir,
        ]
        + (['--resume'] if cfg.get('resume') else []),
        env={**os.environ, 'OMP_NUM_THREADS': str(threads)},
    )
    if done.returncode:
        raise ChildProcessError(
            f'the training failed with status {done.returncode}; its message '
            'is above'
        )


def is_finished(cfg: Config) -> bool:
    """Return True if the last checkpoint is that of the last step."""
    path = find_latest(Path(cfg.work_dir))
    if path is None:
        return False
    # Only metadata is needed: map the file, and do not read its tensors.
    checkpoint = read_checkpoint(
        path, mmap=True, check=False, without=TRAINING_STATE
    )
    meta = checkpoint['meta']
    limits = cfg.train_cfg
    return meta.get('iter', 0) >= limits.get('max_iters', float('inf')) or (
        meta.get('epoch', 0) >= limits.get('max_epochs', float('inf'))
    )


def spread_indices(dataset: Any) -> list[int]:
    """Return indices of samples, evenly spaced over a data set."""
    count = min(IMAGES, len(dataset))
    return np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()


def spread_samples(dataset: Any) -> Iterator[Any]:
    """Yield evenly spaced samples; the pipeline loads their ground truth."""
    for index in spread_indices(dataset):
        yield dataset[index]


def draw_sheet(predictor: DetectionPredictor, dataset: Any) -> np.ndarray:
    """Draw ground truth and predictions of instances side by side.

    Returns:
        The sheet, (H, W, 3) in BGR, uint8.
    """
    pairs = []
    for sample in spread_samples(dataset):
        truth = sample['data_samples']
        image = read_image(truth.img_path)
        pairs.append((image, truth.gt_instances, predictor(image).instances))
    return contact_sheet(pairs, predictor.classes)


def draw_label_sheet(model: BaseModel, dataset: Any) -> np.ndarray:
    """Draw true and predicted label maps side by side.

    Returns:
        The sheet, (H, W, 3) in BGR, uint8.
    """
    model.eval()
    pairs = []
    for sample in spread_samples(dataset):
        with torch.no_grad():
            (prediction,) = model.test_step(pseudo_collate([sample]))
        truth, labels = (
            data.squeeze(0).cpu().numpy()
            for data in (
                sample['data_samples'].gt_sem_seg.data,
                prediction.pred_sem_seg.data,
            )
        )
        pairs.append((read_image(prediction.img_path), truth, labels))
    meta = dataset.metainfo
    return label_sheet(pairs, meta['classes'], meta['palette'])


def draw_clip_sheet(model: BaseModel, dataset: Any) -> np.ndarray:
    """Draw frames of clips, with the true and the predicted class.

    Returns:
        The sheet, (H, W, 3) in BGR, uint8.
    """
    model.eval()
    clips = []
    for index in spread_indices(dataset):
        with torch.no_grad():
            (prediction,) = model.test_step(pseudo_collate([dataset[index]]))
        with Video(dataset.get_data_info(index)['filename']) as video:
            places = np.linspace(0, video.num_frames - 1, FRAMES)
            frames = video.frames(places.round().astype(int))
        clips.append(
            (
                frames,
                int(prediction.gt_label),
                prediction.pred_score.cpu().numpy(),
            )
        )
    return clip_sheet(clips, dataset.metainfo['classes'])


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(demo, make_parser().parse_args(argv))
