"""Write the feature maps of videos, with their times, as .npz files.

For each video, NAME.npz holds an array for each chosen stage, stage0 to
stage3, of shape (N, channels, height, width), or (N, channels) with --pool.
The array `frames` holds the index of the frame of each feature map, and
`times` its time in seconds. Existing files of the same settings are kept, so
that a second run continues a run that was stopped.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope

from swin_dense.checkpoints.load import load_backbone
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_reader import Video
from swin_dense.engine import cli
from swin_dense.engine.input_files import (
    FAILURES,
    find_videos,
    name_outputs,
    report_unreadable,
)
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.tasks import VIDEO, task_of
from swin_dense.files import open_regular, replacing
from swin_dense.video.features import extract_video
from swin_dense.video.sampling import Sampling

# Limit for the text of the settings in an .npz file.
MAX_SETTINGS_BYTES = 1_000_000


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense extract-features '
        'video_swin_t_k400 weights.pth videos/ --out features/',
    )
    cli.add_config_argument(parser)
    parser.add_argument(
        'checkpoint',
        help='path or address of weights in any known layout; weights for '
        'images are inflated',
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        metavar='INPUT',
        help='videos, folders of videos or of frames, or patterns',
    )
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the files'
    )
    parser.add_argument(
        '--stages',
        type=int,
        nargs='+',
        default=[3],
        metavar='STAGE',
        help='stages to write, 0 to 3 (default: 3)',
    )
    parser.add_argument(
        '--per-frame',
        action='store_true',
        help='write a map for each frame of a clip, interpolated between the '
        'maps of temporal patches',
    )
    parser.add_argument(
        '--pool',
        action='store_true',
        help='average maps over height and width',
    )
    parser.add_argument(
        '--clip-len',
        type=int,
        metavar='FRAMES',
        help='frames of a clip, the input of the model (default: the '
        "config's)",
    )
    parser.add_argument(
        '--interval',
        type=int,
        metavar='FRAMES',
        help='distance between two frames of a clip in the video (default: '
        "the config's)",
    )
    parser.add_argument(
        '--short-side',
        type=int,
        default=224,
        metavar='PIXELS',
        help='shorter side that frames are resized to; 0: do not resize '
        '(default: 224)',
    )
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16'],
        default='float32',
        help='type of the arrays in the files (default: float32)',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace existing files'
    )
    cli.add_device_argument(parser)
    parser.add_argument(
        '--skip-bad',
        action='store_true',
        help='exit with 0 although some videos cannot be read',
    )
    cli.add_config_arguments(parser)
    return parser


def extract(args: argparse.Namespace) -> int:
    """Write the features of all videos; list unreadable videos at the end."""
    cli.check_device(args.device)
    config = load_config(args.config, args.cfg_options)
    settings = read_settings(args, config)
    videos = find_videos(args.inputs)
    paths = name_outputs(
        videos, Path(args.out), lambda name: name.with_name(f'{name.name}.npz')
    )
    init_default_scope(config.default_scope)
    backbone = MODELS.build(dict(config.model.backbone, init_cfg=None))
    load_backbone(backbone, find_checkpoint(args.checkpoint))
    backbone.to(args.device or get_device()).eval()

    bad: list[str] = []
    kept = 0
    for index, (source, path) in enumerate(zip(videos, paths)):
        label = f'{index + 1} of {len(videos)}  {source}'
        if not args.force and is_done(path, settings):
            kept += 1
            print(f'{label}: {path} exists, kept')
            continue
        try:
            with Video(str(source)) as video:
                arrays = extract_video(
                    backbone,
                    video,
                    **{
                        name: value
                        for name, value in settings.items()
                        if name != 'checkpoint'
                    },
                )
        except VideoError as error:
            bad.append(str(error))
        except ValueError:  # a wrong setting, which concerns every video
            raise
        except FAILURES as error:
            bad.append(f'{source} cannot be read: {cli.describe(error)}')
        else:
            save(path, arrays, settings)
            shapes = ', '.join(
                f'{name} {arrays[name].shape}'
                for name in arrays
                if name.startswith('stage')
            )
            print(f'{label}: {shapes}')
            continue
        print(f'{label}: cannot be read')
    print(
        f'{len(videos) - kept - len(bad)} files written, {kept} kept: '
        f'{args.out}'
    )
    report_unreadable(bad, len(videos), 'videos', args.skip_bad)
    return 0


def read_settings(args: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Return the settings of the features: arguments of `extract_video`.

    Raises:
        ValueError: If a setting is out of range.
    """
    task = task_of(config)
    if task is not VIDEO:
        raise ValueError(
            f'{args.config} is a config for {task.models}; expected a config '
            'for recognizers of videos'
        )
    sampling = Sampling.from_pipeline(config.test_dataloader.dataset.pipeline)
    clip_len = sampling.clip_len if args.clip_len is None else args.clip_len
    interval = sampling.interval if args.interval is None else args.interval
    for name, value in (('--clip-len', clip_len), ('--interval', interval)):
        if value is not None and value < 1:
            raise ValueError(f'{name} must be 1 or more, got {value}')
    if args.short_side < 0:
        raise ValueError(
            f'--short-side must be 0 or more, got {args.short_side}'
        )
    return dict(
        checkpoint=str(args.checkpoint),
        clip_len=clip_len,
        # Configs that spread the frames evenly have no interval.
        interval=interval or 2,
        stages=sorted({*args.stages}),
        per_frame=args.per_frame,
        pool=args.pool,
        short_side=args.short_side or None,
        dtype=args.dtype,
    )


def is_done(path: Path, settings: dict[str, Any]) -> bool:
    """Return True if the file of a video exists.

    Raises:
        ValueError: If the file has other settings, or is not a file that
            this command writes.
    """
    if not path.exists():
        return False
    try:
        written = read_settings_of(path)
    except (
        OSError,
        EOFError,
        KeyError,
        RecursionError,
        ValueError,
        BadZipFile,
    ) as error:
        raise ValueError(
            f'{path} was not written by this command ({error}): remove it, or '
            'add --force'
        ) from None
    if written != settings:
        differ = {
            name: (written.get(name), value)
            for name, value in settings.items()
            if written.get(name) != value
        }
        raise ValueError(
            f'{path} was written with other settings (in the file, now): '
            f'{differ}. Choose another folder with --out, or add --force'
        )
    return True


def read_settings_of(path: Path) -> Any:
    """Return the settings that `save` wrote; read nothing else.

    Raises:
        ValueError: If the settings are not a JSON text of limited length.
    """
    with (
        open_regular(path) as file,
        ZipFile(file) as archive,
        archive.open('settings.npy') as entry,
    ):
        np.lib.format.read_magic(entry)
        shape, _, dtype = np.lib.format.read_array_header_1_0(entry)
        if shape or dtype.kind != 'U' or dtype.itemsize > MAX_SETTINGS_BYTES:
            raise ValueError(f'its settings are {dtype} of shape {shape}')
        (text,) = np.frombuffer(entry.read(dtype.itemsize), dtype)
    return json.loads(text)


def save(
    path: Path, arrays: dict[str, np.ndarray], settings: dict[str, Any]
) -> None:
    """Write an .npz file with arrays and settings atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open('wb') as file:
        content: dict[str, Any] = {'settings': json.dumps(settings), **arrays}
        np.savez(file, **content)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(extract, make_parser().parse_args(argv))
