"""Show the labels in label maps, and list errors.

The label maps are those of a config, or all PNG files in a folder.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.registry import DATASETS, init_default_scope

from swin_dense.data.label_map_scan import scan_label_maps
from swin_dense.data.wrappers import settings_by_name
from swin_dense.engine import cli
from swin_dense.engine.launch import config_path, load_config
from swin_dense.segmentation.dataset import CheckedSegDataset
from swin_dense.segmentation.label_map_checks import (
    LabelReport,
    check_label_maps,
)
from swin_dense.wording import counted


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__,
        'swin-dense check-label-maps data/mine/annotations --classes 3',
    )
    parser.add_argument(
        'source',
        help='config file or name, or folder of label maps (PNG files)',
    )
    parser.add_argument(
        '--classes',
        type=int,
        metavar='N',
        help='number of classes, with labels 0 to N - 1; needed for a folder',
    )
    parser.add_argument(
        '--images',
        metavar='FOLDER',
        help='folder of the images; their names and sizes are compared with '
        'those of the label maps',
    )
    parser.add_argument(
        '--ignore-index',
        type=int,
        default=255,
        metavar='VALUE',
        help='label of pixels that are ignored (default: 255)',
    )
    parser.add_argument(
        '--reduce-zero-label',
        action='store_true',
        help='pixel value n means label n - 1, and 0 is ignored',
    )
    parser.add_argument(
        '--out',
        metavar='FILE.json',
        help='also write the counts and problems as JSON',
    )
    cli.add_config_arguments(parser)
    return parser


def check(args: argparse.Namespace) -> int:
    """Check a config or a folder; return 1 if there are problems.

    Raises:
        FileNotFoundError: If there is no such config or folder.
        ValueError: If options do not fit the source.
    """
    if os.path.isdir(args.source):
        reports = [check_folder(args)]
    else:
        config_path(args.source)
        if args.classes is not None or args.images or args.reduce_zero_label:
            raise ValueError(
                '--classes, --images and --reduce-zero-label are for '
                'folders; a config has settings for them'
            )
        reports = list(check_config(args))
    for name, classes, report in reports:
        print(f'{name}: {report.files} label maps\n{report.table(classes)}')
        for note in report.notes:
            print(f'  note: {note}')
        for problem in report.problems:
            print(f'  problem: {problem}')
    if args.out:
        cli.write_json(
            args.out, {name: report.to_dict() for name, _, report in reports}
        )
    count = sum(len(report.problems) for _, _, report in reports)
    print(counted(count, 'problem'))
    return 1 if count else 0


def check_folder(
    args: argparse.Namespace,
) -> tuple[str, Sequence[str], LabelReport]:
    """Check the label maps of a folder.

    Returns:
        The folder, no class names, and a report.

    Raises:
        ValueError: If the number of classes is missing, or there are no files.
    """
    if not args.classes:
        raise ValueError(
            f'{args.source} is a folder, and the number of classes is '
            'unknown: add --classes N'
        )
    folder = Path(args.source)
    files = sorted(folder.rglob('*.png'))
    if not files:
        raise ValueError(f'{folder} contains no .png file')
    images: dict[Path, str] = {}
    if args.images:
        image_folder = Path(args.images)
        images = {
            path.relative_to(image_folder).with_suffix(''): str(path)
            for path in image_folder.rglob('*')
            if path.is_file()
        }
    maps = scan_label_maps(
        [
            (str(path), images.get(path.relative_to(folder).with_suffix('')))
            for path in files
        ]
    )
    report = check_label_maps(
        maps,
        [f'class {i}' for i in range(args.classes)],
        ignore_index=args.ignore_index,
        reduce_zero_label=args.reduce_zero_label,
    )
    if args.images:
        unpaired = [
            label_map.path for label_map in maps if label_map.image is None
        ]
        report.problems += [
            f'{path} has no image in {args.images}' for path in unpaired
        ]
    return str(folder), (), report


def check_config(
    args: argparse.Namespace,
) -> Iterator[tuple[str, Sequence[str], LabelReport]]:
    """Yield name, class names and report of a config's data sets.

    Raises:
        ValueError: If the config has no data set with label maps.
    """
    config = load_config(args.source, args.cfg_options)
    init_default_scope(config.default_scope)
    seen: list[Any] = []
    has_label_maps = False
    for name, settings in settings_by_name(config):
        if settings in seen:
            continue
        seen.append(settings)
        for classes, report in check_settings(settings):
            has_label_maps = True
            yield name, classes, report
    if not has_label_maps:
        raise ValueError(
            f'{args.source}: no data set of this config has label maps'
        )


def check_settings(
    settings: dict[str, Any],
) -> Iterator[tuple[Sequence[str], LabelReport]]:
    """Yield class names and report of a data set, if it has label maps."""
    with DATASETS.switch_scope_and_registry(None) as registry:
        dataset_class = registry.get(settings['type'])
    if not hasattr(
        dataset_class, 'get_label_map'
    ):  # mmseg's data sets have it
        return
    # Only list files: the check below collects all problems, while the data
    # set would raise the first.
    settings = {**settings, 'pipeline': []}
    if issubclass(dataset_class, CheckedSegDataset):
        settings['check_labels'] = False
    dataset = DATASETS.build(settings)
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    pairs = [
        (info['seg_map_path'], info['img_path'])
        for info in infos
        if info.get('seg_map_path')
    ]
    if pairs:
        classes = dataset.metainfo['classes']
        yield (
            classes,
            check_label_maps(
                scan_label_maps(pairs),
                classes,
                ignore_index=dataset.ignore_index,
                reduce_zero_label=dataset.reduce_zero_label,
                label_map=dataset.label_map,
                training=not dataset.test_mode,
            ),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(check, make_parser().parse_args(argv))
