"""Predict on images or videos.

The config decides on the task. A detector writes a picture of each image;
predictions.json, all predictions in COCO's results format; and images.json,
the files and categories of the ids in it.

A segmentor writes a picture with a legend of each image, and its label map as
labels/NAME.png, with the pixel values of the data set. With --areas, it also
writes areas.json, the area of each class.

Both predict videos, addresses of videos and cameras (camera:0) frame by frame:
NAME.mp4 shows the predictions, NAME.jsonl has a line of JSON for each frame.

A recognizer prints the actions in each video with their times. It writes them
as predictions.json, and a small labelled clip of each video.
"""

import argparse
from collections.abc import Sequence

from swin_dense.engine import cli
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import TASKS, VIDEO, Task, task_of


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense predict cascade_swin_b_coco '
        'weights.pth photo.jpg --out out/',
    )
    cli.add_model_arguments(
        parser,
        'images or videos, folders of them, or patterns such as '
        '"in/**/*.jpg"; for detectors and segmentors also the address of a '
        'video, or camera:0',
    )
    cli.add_device_argument(parser)
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        metavar='N',
        help='images per forward pass (default: 1)',
    )
    parser.add_argument(
        '--max-frames',
        type=int,
        metavar='N',
        help='predict the first N frames of a video or camera; for detectors '
        'and segmentors',
    )
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help='exit with 0 although some inputs cannot be read',
    )
    cli.add_compile_argument(parser)
    cli.add_config_arguments(parser)
    for task in TASKS:
        group = parser.add_argument_group(f'for {task.models}')
        task.load('add_options')(group)
    return parser


def predict(args: argparse.Namespace) -> int:
    """Predict all inputs; list unreadable inputs at the end.

    Raises:
        ValueError: If an option is out of range or for another task.
    """
    if args.batch_size < 1:
        raise ValueError(
            f'--batch-size must be 1 or more, got {args.batch_size}'
        )
    if args.max_frames is not None and args.max_frames < 1:
        raise ValueError(
            f'--max-frames must be 1 or more, got {args.max_frames}'
        )
    cli.check_device(args.device)
    config = load_config(args.config, args.cfg_options)
    if args.compile:
        config.compile_backbone = args.compile
    checkpoint = find_checkpoint(args.checkpoint)
    task = task_of(config)
    _refuse_options(args, task)
    if task is VIDEO and args.max_frames:
        raise ValueError(
            f'--max-frames is for detectors and segmentors, and the model of '
            f'{args.config} is a recognizer'
        )
    task.load('predict_files')(config, checkpoint, args)
    return 0


def _refuse_options(args: argparse.Namespace, task: Task) -> None:
    """Check that no option of another task is set.

    Raises:
        ValueError: If an option of another task is set.
    """
    for other in TASKS:
        if other is task:
            continue
        for option in other.load('add_options')(argparse.ArgumentParser()):
            if getattr(args, option.dest) != option.default:
                raise ValueError(
                    f'{option.option_strings[0]} is for {other.models}, and '
                    f'the model of {args.config} is a {task.models[:-1]}'
                )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(predict, make_parser().parse_args(argv))
