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
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from swin_dense.analysis import explain, explain_pictures
from swin_dense.analysis.class_activation import METHODS
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.image_files import read_image
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    find_images,
    find_videos,
    name_outputs,
    report_unreadable,
)
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import DETECTION, SEGMENTATION, VIDEO, task_of
from swin_dense.files import replacing
from swin_dense.visualization.heat_map import caption

STRIP = 8  # frames in the picture of a video


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
    write = _write_video if task is VIDEO else _write_image
    find_map = _find_maker(args, task, predictor, block)
    bad: list[str] = []
    for source, picture in zip(inputs, pictures):
        try:
            line = write(find_map, predictor, source, picture, heads, args)
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


def _write_image(
    find_map: Callable[..., Any],
    predictor: Any,
    source: Path,
    picture: Path,
    heads: list[int] | str | None,
    args: argparse.Namespace,
) -> str:
    """Explain an image; write picture and arrays; return a line about it."""
    pixels = read_image(source)
    found = find_map(pixels)
    arrays = found.arrays()
    if isinstance(found, explain.AttentionMap):
        chosen = _choose(found, heads)
        drawn = explain_pictures.draw_attention(found, chosen)
        line = explain_pictures.describe_attention(
            found, chosen[0] if chosen and len(chosen) == 1 else None
        )
        arrays['on_image'] = found.on_pixels(found.select()[0])
        if found.padding is not None and found.padding.any():
            line += f', {found.padding.mean():.0%} of it to padding'
    else:
        drawn = explain_pictures.draw_activation(found, predictor.classes)
        line = explain_pictures.describe_activation(found, predictor.classes)
        arrays['on_image'] = found.on_pixels(found.activation)
    cli.write_image(picture, drawn)
    _write_arrays(picture.with_suffix('.npz'), arrays)
    return line


def _choose(
    found: explain.AttentionMap, heads: list[int] | str | None
) -> list[int] | None:
    """Return the numbers of the heads to draw, None for their mean."""
    if heads == 'all':
        return [*range(len(found.attention))]
    return heads if isinstance(heads, list) else None


def _write_video(
    find_map: Callable[..., Any],
    predictor: Any,
    source: Path,
    picture: Path,
    heads: list[int] | str | None,
    args: argparse.Namespace,
) -> str:
    """Explain a video, window by window; return a line about it.

    Writes a strip of frames, the arrays, and the frames as a video.
    """
    with Video(str(source), predictor.decoders) as video:
        story = _Story(find_map, predictor, video, heads, args.at)
        if find_spec('av') is None:
            print(
                'without PyAV no videos can be written: a strip of frames '
                'alone',
                file=sys.stderr,
            )
            for _ in story.frames():
                pass
        else:
            picture.parent.mkdir(parents=True, exist_ok=True)
            write_video(picture.with_suffix('.mp4'), story.frames(), story.fps)
    strip = explain_pictures.draw_strip(story.kept, story.times, story.line)
    cli.write_image(picture, strip)
    _write_arrays(picture.with_suffix('.npz'), story.arrays())
    return story.line


class _Story:
    """Explanations of the windows of a video, in the order of time.

    Frames are drawn one by one, and the maps of tokens are kept.

    Args:
        find_map: Function that explains a clip.
        predictor: A `VideoPredictor`.
        video: The video.
        heads: Heads whose mean is drawn; None or 'all' for all.
        at: x, y and seconds of a query, which chooses a single window.
    """

    def __init__(
        self,
        find_map: Callable[..., Any],
        predictor: Any,
        video: Video,
        heads: list[int] | str | None,
        at: Sequence[float] | None,
    ) -> None:
        self.find_map = find_map
        self.predictor = predictor
        self.video = video
        self.heads = heads if isinstance(heads, list) else None
        rate = video.fps or 25.0
        times = video.times()
        self._seconds = (
            np.arange(video.num_frames) / rate if times is None else times
        )
        self.windows = predictor.windows(video)
        self.at = at
        if at is not None:
            self.windows = [self._window_at(at[2])]
        interval = predictor.sampling.interval
        first = self.windows[0].frames
        step = interval or max(1, int(first[1] - first[0]))
        self.fps = rate / step
        total = len(self.windows) * predictor.sampling.clip_len
        count = min(STRIP, total)
        self._wanted = {
            int(place) for place in np.linspace(0, total - 1, count).round()
        }
        self.kept: list[np.ndarray] = []
        self.times: list[str] = []
        self.line = ''
        self._maps: list[np.ndarray] = []
        self._found: list[Any] = []

    def _window_at(self, seconds: float) -> Any:
        """Return the first window that holds a time.

        Raises:
            ValueError: If the video does not last so long.
        """
        end = float(self._seconds[-1])
        if not 0 <= seconds <= end:
            raise ValueError(
                f'the video has frames from 0 to {end:.2f} s, got the time '
                f'{seconds:g}'
            )
        frame = int(np.abs(self._seconds - seconds).argmin())
        return next(
            window
            for window in self.windows
            if window.first <= frame <= window.last
        )

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the drawn frames of all windows in RGB."""
        position = 0
        for window in self.windows:
            frames = self.video.frames(window.frames)
            options: dict[str, Any] = {}
            if self.at is not None:
                places = np.abs(self._seconds[window.frames] - self.at[2])
                options['at'] = (*self.at[:2], int(places.argmin()))
            found = self.find_map(frames, **options)
            values, line = self._describe(found)
            self.line = self.line or line
            self._maps.append(
                found.attention
                if isinstance(found, explain.AttentionMap)
                else values
            )
            drawn = explain_pictures.draw_frames(found, values)
            for number, frame in zip(window.frames, drawn):
                when = f'{self._seconds[number]:.2f} s'
                if isinstance(found, explain.ActivationMap):
                    name = self.predictor.classes[found.label]
                    when += f'  {name}'
                if position in self._wanted:
                    self.kept.append(frame)
                    self.times.append(when)
                position += 1
                yield _below(when, frame)
            self._found.append(_without_pixels(found))

    def _describe(self, found: Any) -> tuple[np.ndarray, str]:
        """Return the values to draw `(T', h, w)`, and a line about them."""
        if isinstance(found, explain.AttentionMap):
            head = None
            if self.heads is not None and len(self.heads) == 1:
                head = self.heads[0]
            return found.select(self.heads).mean(0), (
                explain_pictures.describe_attention(found, head)
            )
        return found.activation, explain_pictures.describe_activation(
            found, self.predictor.classes
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of all windows for an .npz file."""
        first = self._found[0]
        frames = np.stack([window.frames for window in self.windows])
        arrays = {
            'frames': frames,
            'times': self._seconds[frames],
            'stride': np.array(first['stride']),
        }
        if 'score' in first:
            arrays['activation'] = np.stack(self._maps)
            for name in ('label', 'score', 'level'):
                arrays[name] = np.array([found[name] for found in self._found])
        else:
            arrays['attention'] = np.stack(self._maps)
            for name in ('query', 'padding'):
                if name in first:
                    arrays[name] = first[name]
        return arrays


def _without_pixels(found: Any) -> dict[str, np.ndarray]:
    """Return the small arrays of an explanation."""
    return {
        name: values
        for name, values in found.arrays().items()
        if values.ndim < 2
    }


def _below(text: str, frame: np.ndarray) -> np.ndarray:
    """Return a frame in RGB below a line of text."""
    picture = caption(np.ascontiguousarray(frame[..., ::-1]), text)
    return np.ascontiguousarray(picture[..., ::-1])


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write an .npz file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial_file, partial_file.open('wb') as file:
        content: dict[str, Any] = arrays
        np.savez_compressed(file, **content)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(explain_inputs, make_parser().parse_args(argv))
