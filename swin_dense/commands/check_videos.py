"""Read all clips of a list, and list those that cannot be used.

The first, the middle and the last frame of each clip are decoded. Labels and
duplicate clips are checked. SOURCE is a list, or a config with lists.
"""

import argparse
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.registry import DATASETS, init_default_scope

from swin_dense.config_files import find_config
from swin_dense.data.wrappers import settings_by_name
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config
from swin_dense.engine.progress import show_steps
from swin_dense.files import read_text
from swin_dense.video.clip_checks import VideoReport, check_clips
from swin_dense.video.clip_lists import Clip, class_names, read_clips
from swin_dense.wording import counted

# Number of problems that are printed.
MAX_SHOWN = 20
# Name, clips, class names and number of frames of a sample.
Source = tuple[str, Sequence[Clip], Sequence[str], int]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense check-videos data/mine/train.txt --videos '
        'data/mine/videos --classes 3 --clean data/mine/train_clean.txt',
    )
    parser.add_argument(
        'source',
        help='config file or name, list of clips (path label), CSV file, '
        'or folder with a folder for each class',
    )
    parser.add_argument(
        '--videos',
        metavar='FOLDER',
        help='folder that paths in a list are relative to (default: that of '
        'the list)',
    )
    parser.add_argument(
        '--classes',
        metavar='N|FILE',
        help='number of classes, with labels 0 to N - 1, or a text file with '
        'a class name on each line; needed for a list with numbers',
    )
    parser.add_argument(
        '--first-label',
        type=int,
        default=0,
        metavar='N',
        help='number of the first class in a list (default: 0)',
    )
    parser.add_argument(
        '--min-frames',
        type=int,
        default=1,
        metavar='N',
        help='note shorter clips (default: 1; for a config, the length of its '
        'samples)',
    )
    parser.add_argument(
        '--decoders',
        nargs='+',
        metavar='NAME',
        help='of pyav, decord, opencv, in the order to try (default: all '
        'that are installed)',
    )
    parser.add_argument(
        '--workers',
        type=int,
        metavar='N',
        help='processes (default: one for each core, at most 8)',
    )
    parser.add_argument(
        '--clean',
        metavar='FILE',
        help='write a list of the usable clips, with class names if FILE '
        'ends in .csv, otherwise with numbers',
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='write a table of all clips and their problems, as .csv or .json',
    )
    cli.add_config_arguments(parser)
    return parser


def check(args: argparse.Namespace) -> int:
    """Check all clips; return 1 if there are problems.

    Raises:
        ValueError: If options do not fit the source, or an output file is
            the source.
    """
    for name in (args.clean, args.out):
        if (
            name
            and os.path.exists(name)
            and os.path.samefile(name, args.source)
        ):
            raise ValueError(
                f'{name} is the file to check: write to another file'
            )
    if args.out and Path(args.out).suffix not in ('.csv', '.json'):
        raise ValueError(f'--out {args.out} must end in .csv or .json')
    is_config = args.source.endswith('.py') or (
        not os.path.exists(args.source) and bool(find_config(args.source))
    )
    if is_config and (args.videos or args.classes or args.clean):
        raise ValueError(
            '--videos, --classes and --clean are for lists and folders; a '
            'config has settings for them'
        )
    sources = from_config(args) if is_config else [from_list(args)]
    rows, count = [], 0
    for name, clips, classes, min_frames in sources:
        report = inspect(args, clips, classes, min_frames)
        show(name, report)
        rows += [dict(source=name, **row) for row in report.rows]
        count += len(report.problems)
    if args.clean:
        cli.write_bytes(args.clean, clean_list(args.clean, report).encode())
        print(f'{len(report.good)} usable clips: {args.clean}')
    if args.out:
        write_table(args.out, rows)
    print(counted(count, 'problem'))
    return 1 if count else 0


def inspect(
    args: argparse.Namespace,
    clips: Sequence[Clip],
    classes: Sequence[str],
    min_frames: int,
) -> VideoReport:
    """Check the clips of a list, and show the progress."""
    with show_steps('videos', len({clip.path for clip in clips})) as steps:
        return check_clips(
            clips,
            classes,
            min_frames=min_frames,
            decoders=args.decoders,
            workers=args.workers,
            on_progress=steps.advance,
        )


def show(name: str, report: VideoReport) -> None:
    """Print a report."""
    print(f'{name}:\n{report.table()}')
    for note in report.notes:
        print(f'  note: {note}')
    for problem in report.problems[:MAX_SHOWN]:
        print(f'  problem: {problem}')
    if len(report.problems) > MAX_SHOWN:
        print(
            f'  ... {len(report.problems) - MAX_SHOWN} more; --out writes all'
        )


def from_list(args: argparse.Namespace) -> Source:
    """Read the clips of a list, a CSV file or a folder.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it is empty, or the number of classes is unknown.
    """
    source = args.source
    if not os.path.exists(source):
        raise FileNotFoundError(f'{source} does not exist')
    if os.path.isdir(source):
        clips = read_clips('', source)
    else:
        clips = read_clips(source, args.videos or os.path.dirname(source))
    if not clips:
        raise ValueError(f'{source} contains no clips')
    clips = [
        replace(clip, label=clip.label - args.first_label)
        if isinstance(clip.label, int)
        else clip
        for clip in clips
    ]
    return source, clips, find_classes(args, clips), args.min_frames


def find_classes(args: argparse.Namespace, clips: Sequence[Clip]) -> list[str]:
    """Return class names in label order, from `--classes` or the list.

    Raises:
        ValueError: If the list has numbers, and `--classes` is not set.
    """
    if args.classes is None:
        names = class_names(clips)
        if not names:
            raise ValueError(
                f'{args.source} has numbers for classes, and the number of '
                'classes is unknown: add --classes N'
            )
        return names
    if args.classes.isdecimal():
        return [str(number) for number in range(int(args.classes))]
    lines = read_text(args.classes).splitlines()
    return [line.strip() for line in lines if line.strip()]


def from_config(args: argparse.Namespace) -> Iterator[Source]:
    """Yield the clips of each data set of a config.

    Raises:
        ValueError: If the config has no data set of clips.
    """
    config = load_config(args.source, args.cfg_options)
    init_default_scope(config.default_scope)
    seen: list[dict] = []
    has_clips = False
    for name, settings in settings_by_name(config):
        files = {**settings, 'pipeline': []}
        if files in seen:
            continue
        seen.append(files)
        dataset = DATASETS.build({**files, 'lazy_init': True})
        if hasattr(dataset, 'list_clips'):
            has_clips = True
            min_frames = count_spanned_frames(settings.get('pipeline') or ())
            yield (name, *dataset.list_clips(), min_frames)
    if not has_clips:
        raise ValueError(
            f'{args.source}: no data set of this config has clips'
        )


def count_spanned_frames(pipeline: Sequence[dict]) -> int:
    """Return the number of frames that the samples of a pipeline span."""
    for step in pipeline:
        if step.get('clip_len'):
            return (step['clip_len'] - 1) * step.get('frame_interval', 1) + 1
    return 1


def clean_list(path: str, report: VideoReport) -> str:
    """Return the usable clips as the text of a list or a CSV file."""
    if not path.endswith('.csv'):
        return ''.join(
            f'{row["name"]} {row["label"]}\n' for row in report.good
        )
    rows = [dict(path=row['name'], label=row['class']) for row in report.good]
    return table(rows, ['path', 'label'])


def write_table(path: str, rows: list[dict]) -> None:
    """Write the table of clips, as JSON or CSV by the suffix."""
    if path.endswith('.json'):
        cli.write_json(path, rows)
    else:
        cli.write_bytes(path, table(rows, list(rows[0])).encode())


def table(rows: Sequence[dict], columns: Sequence[str]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(check, make_parser().parse_args(argv))
