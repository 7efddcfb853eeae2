"""Show what a model looks at: class activation, or attention of a block.

By default, the evidence for a result is drawn over the image: for a detection
(--detection, --class, --at), for a class at a pixel of a label map (--at,
--class), or for a class along a video (--class).

With --block STAGE.BLOCK, the attention of a block is drawn: of the token at a
pixel (--at), or the attention that each token gets from all others.

NAME_activation.png or NAME_attention_STAGE.BLOCK.png is the picture, the .npz
file beside it holds the arrays (docs/explain.md). A video also gets an .mp4
file.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from swin_dense.analysis import explain
from swin_dense.analysis.class_activation import METHODS
from swin_dense.analysis.explain_files import (
    write_image_map,
    write_video_maps,
)
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.image_files import read_image
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    find_images,
    find_videos,
    name_outputs,
    report_unreadable,
)
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO, task_of


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense explain cascade_swin_b_coco '
        'weights.pth photo.jpg --at 320 200 --out out/',
    )
    cli.add_model_arguments(
        parser,
        'images, for a recognizer videos; folders of them, or patterns',
    )
    parser.add_argument(
        '--at',
        nargs='+',
        type=float,
        metavar='X Y',
        help='pixel of the image; for videos, X Y SECONDS',
    )
    activation = parser.add_argument_group('class activation')
    activation.add_argument(
        '--class',
        dest='class_name',
        metavar='NAME',
        help='class to explain (default: that of the result)',
    )
    activation.add_argument(
        '--detection',
        type=int,
        metavar='N',
        help='the N-th best detection, from 0, of the class and at the pixel '
        'if these are given (default: 0)',
    )
    activation.add_argument(
        '--level',
        type=int,
        metavar='N',
        help='map of the pyramid, from 0 (default: the one with most '
        'activation)',
    )
    activation.add_argument(
        '--method',
        choices=METHODS,
        help='hires-cam shows what raises this score, grad-cam all that '
        'looks like the class (default: hires-cam; videos: grad-cam)',
    )
    attention = parser.add_argument_group('attention')
    attention.add_argument(
        '--block',
        metavar='STAGE.BLOCK',
        help='block whose attention is shown, both counted from 0, such as '
        '2.5',
    )
    attention.add_argument(
        '--head',
        nargs='+',
        metavar='N',
        help='heads to draw, from 0, or "all" (default: the mean of all)',
    )
    cli.add_device_argument(parser)
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help='exit with 0 although some inputs cannot be explained',
    )
    cli.add_config_arguments(parser)
    return parser


def explain_inputs(args: argparse.Namespace) -> int:
    """Explain all inputs; list those that cannot be explained at the end.

    Raises:
        ValueError: If an option is out of range or for another task.
    """
    cli.check_device(args.device)
    config = load_config(args.config, args.cfg_options)
    task = task_of(config)
    block = _read_block(args)
    heads = _read_heads(args)
    _check_options(args, task)
    find = find_videos if task is VIDEO else find_images
    inputs = find(args.inputs)
    kind = 'activation' if block is None else f'attention_{args.block}'

    def rename(name: Path) -> Path:
        return name.with_name(f'{name.stem}_{kind}.png')

    pictures = name_outputs(inputs, Path(args.out), rename)
    predictor = task.load('predictor')(
        config, find_checkpoint(args.checkpoint), device=args.device
    )
    find_map = _find_maker(args, task, predictor, block)
    bad: list[str] = []
    for source, picture in zip(inputs, pictures):
        try:
            if task is VIDEO:
                line = write_video_maps(
                    find_map,
                    predictor,
                    source,
                    picture,
                    heads if isinstance(heads, list) else None,
                    args.at,
                )
            else:
                found = find_map(read_image(source))
                line = write_image_map(
                    found,
                    picture,
                    predictor.classes,
                    _choose(found, heads),
                )
        except VideoError as error:
            bad.append(str(error))
        except (OSError, ValueError) as error:
            text = cli.describe(error)
            bad.append(text if str(source) in text else f'{source}: {text}')
        else:
            print(f'{source}: {line}: {picture}')
    report_unreadable(
        bad,
        len(inputs),
        'videos' if task is VIDEO else 'images',
        args.skip_bad,
    )
    return 0


def _read_block(args: argparse.Namespace) -> tuple[int, int] | None:
    """Return stage and block of `--block`."""
    if args.block is None:
        if args.head:
            raise ValueError('--head is for attention: add --block')
        return None
    match = re.fullmatch(r'(\d+)\.(\d+)', args.block)
    if match is None:
        raise ValueError(
            f'--block must be STAGE.BLOCK, such as 2.5, got {args.block!r}'
        )
    for option in ('class_name', 'detection', 'level', 'method'):
        if getattr(args, option) is not None:
            name = option.removesuffix('_name')
            raise ValueError(
                f'--{name} is for class activation: leave it out, or --block'
            )
    return int(match[1]), int(match[2])


def _read_heads(args: argparse.Namespace) -> list[int] | str | None:
    """Return the numbers of `--head`, 'all', or None."""
    if args.head in (None, ['all']):
        return args.head and 'all'
    if not all(text.isdecimal() for text in args.head):
        raise ValueError(
            f'--head must be numbers of heads, from 0, or "all", got '
            f'{" ".join(args.head)}'
        )
    return [int(text) for text in args.head]


def _check_options(args: argparse.Namespace, task: Any) -> None:
    """Check that the options suit the task.

    Raises:
        ValueError: If one does not.
    """
    is_video = task is VIDEO
    wanted = 3 if is_video else 2
    if args.at is not None and len(args.at) != wanted:
        raise ValueError(
            f'--at takes {"X Y SECONDS" if is_video else "X Y"} for '
            f'{task.models}, got {len(args.at)} numbers'
        )
    if args.detection is not None and task is not DETECTION:
        raise ValueError(
            f'--detection is for detectors, and the model of {args.config} '
            f'is a {task.models[:-1]}'
        )
    if is_video and args.at is not None and args.block is None:
        raise ValueError(
            'the class activation of a video is drawn along all of it: leave '
            '--at out, or add --block'
        )


def _find_maker(
    args: argparse.Namespace,
    task: Any,
    predictor: Any,
    block: tuple[int, int] | None,
) -> Callable[..., Any]:
    """Return the function that explains an image or a clip."""
    at = tuple(args.at) if args.at and task is not VIDEO else None
    if block is not None:
        if task is VIDEO:
            return partial(
                explain.explain_clip_attention,
                predictor,
                stage=block[0],
                block=block[1],
            )
        return partial(
            explain.explain_attention,
            predictor,
            stage=block[0],
            block=block[1],
            at=at,
        )
    label = (
        None
        if args.class_name is None
        else explain.find_label(predictor.classes, args.class_name)
    )
    options: dict[str, Any] = dict(label=label, level=args.level)
    if args.method:
        options['method'] = args.method
    if task is VIDEO:
        return partial(explain.explain_clip, predictor, **options)
    if task is SEGMENTATION:
        return partial(
            explain.explain_segmentation, predictor, at=at, **options
        )
    return partial(
        explain.explain_detection,
        predictor,
        detection=args.detection or 0,
        at=at,
        **options,
    )


def _choose(found: Any, heads: list[int] | str | None) -> list[int] | None:
    """Return the numbers of the heads to draw, None for their mean."""
    if heads == 'all':
        return [*range(len(found.attention))]
    return heads if isinstance(heads, list) else None


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(explain_inputs, make_parser().parse_args(argv))
