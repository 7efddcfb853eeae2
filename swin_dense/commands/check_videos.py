"""Try to read all clips of a list, and say which cannot be trained on.

Decodes the first, the middle and the last frame of each, and checks labels and
repetitions.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import ProgressBar

from swin_dense.config_files import find_config
from swin_dense.data.wrappers import settings_by_name
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config
from swin_dense.files import read_text
from swin_dense.video.clip_checks import VideoReport, check_clips
from swin_dense.video.clip_lists import Clip, class_names, read_clips

SHOWN = 20
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
        help='what the paths of a list are relative to (default: the folder '
        'of the list)',
    )
    parser.add_argument(
        '--classes',
        metavar='N|FILE',
        help='labels are 0 to N - 1, or the names in a text file, one a line; '
        'needed for a list of numbers',
    )
    parser.add_argument(
        '--first-label',
        type=int,
        default=0,
        metavar='N',
        help='what the numbers of classes in the list count from (default: 0)',
    )
    parser.add_argument(
        '--min-frames',
        type=int,
        default=1,
        metavar='N',
        help='note clips that are shorter; a config says it itself',
    )
    parser.add_argument(
        '--decoders',
        nargs='+',
        metavar='NAME',
        help='pyav, decord, opencv: to be tried in this order (default: all '
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
        help='write a list of the usable clips: with names of classes if it '
        'ends in .csv, with numbers otherwise',
    )
    parser.add_argument(
        '--out',
        metavar='FILE',
        help='write the findings on each clip, as .csv or .json',
    )
    cli.add_config_arguments(parser)
    return parser


def check(args: argparse.Namespace) -> int:
    """Check everything; 1 if there are problems."""
    for name in (args.clean, args.out):
        if (
            name
            and os.path.exists(name)
            and os.path.samefile(name, args.source)
        ):
            raise ValueError(
                f'{name} is what is to be checked: write to another file'
            )
    if args.out and Path(args.out).suffix not in ('.csv', '.json'):
        raise ValueError(f'--out {args.out} must end in .csv or .json')
    is_config = args.source.endswith('.py') or (
        not os.path.exists(args.source) and bool(find_config(args.source))
    )
    if is_config and (args.videos or args.classes or args.clean):
        raise ValueError(
            '--videos, --classes and --clean are for lists and '
            'folders: a config has several, and says all else '
            'itself'
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
    print(f'{count} problems' if count else 'no problems')
    return 1 if count else 0


def inspect(
    args: argparse.Namespace,
    clips: Sequence[Clip],
    classes: Sequence[str],
    min_frames: int,
) -> VideoReport:
    """Check a list, showing how far that has come."""
    bar = ProgressBar(len({clip.path for clip in clips}), file=sys.stderr)
    report = check_clips(
        clips,
        classes,
        min_frames=min_frames,
        decoders=args.decoders,
        workers=args.workers,
        on_progress=bar.update,
    )
    print(file=sys.stderr)
    return report


def show(name: str, report: VideoReport) -> None:
    """Print a report."""
    print(f'{name}:\n{report.table()}')
    for note in report.notes:
        print(f'  note: {note}')
    for problem in report.problems[:SHOWN]:
        print(f'  problem: {problem}')
    if len(report.problems) > SHOWN:
        print(f'  ... {len(report.problems) - SHOWN} more; --out writes all')


def from_list(args: argparse.Namespace) -> Source:
    """Read the clips of a list, a CSV file or a folder.

    Raises:
        FileNotFoundError: If the source does not exist.
        ValueError: If it is empty, or the classes are not known.
    """
    source = args.source
    if not os.path.exists(source):
        raise FileNotFoundError(f'{source} does not exist')
    if os.path.isdir(source):
        clips = read_clips('', source)
    else:
        clips = read_clips(source, args.videos or os.path.dirname(source))
    if not clips:
        raise ValueError(f'{source} lists no clips')
    clips = [
        replace(clip, label=clip.label - args.first_label)
        if isinstance(clip.label, int)
        else clip
        for clip in clips
    ]
    return source, clips, wanted_classes(args, clips), args.min_frames


def wanted_classes(
    args: argparse.Namespace, clips: Sequence[Clip]
) -> list[str]:
    """Return class names in label order: given, or found in the list.

    Raises:
        ValueError: If neither names the classes.
    """
    if args.classes is None:
        names = class_names(clips)
        if not names:
            raise ValueError(
                'the list numbers its classes and does not say '
                'how many there are: add --classes N'
            )
        return names
    if args.classes.isdecimal():
        return [str(number) for number in range(int(args.classes))]
    lines = read_text(args.classes).splitlines()
    return [line.strip() for line in lines if line.strip()]


def from_config(args: argparse.Namespace) -> Iterator[Source]:
    """Yield the clips of each data set of a config.

    Raises:
        ValueError: If it has no data set of clips.
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
            min_frames = spanned(settings.get('pipeline') or ())
            yield (name, *dataset.list_clips(), min_frames)
    if not has_clips:
        raise ValueError(f'{args.source} has no data set of clips')


def spanned(pipeline: Sequence[dict]) -> int:
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
    """Write the findings."""
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
    """Parse and run."""
    return cli.run(check, make_parser().parse_args(argv))
