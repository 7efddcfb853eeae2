"""Analyse the errors of a model: by class, by kind, as pictures.

Detection: a table by class, shares of the kinds of errors with the AP that
each costs, and for each class a picture of the worst false positives,
confusions and misses. Segmentation and video: a table by class and a confusion
matrix. Give a config with a checkpoint, or results that were written before:

  swin-dense analyze cascade_swin_b_coco weights.pth --out errors
  swin-dense analyze val.json --results results.bbox.json --images val/ --out e
"""

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from swin_dense.engine import cli
from swin_dense.engine.launch import (
    apply_command_line,
    build_runner,
    load_config,
)
from swin_dense.engine.run_log import foreign_warnings_to_file
from swin_dense.engine.tasks import DETECTION, task_of
from swin_dense.visualization.evaluation import draw_confusion


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.make_parser(
        __doc__, 'swin-dense analyze cascade_swin_b_coco weights.pth --out e'
    )
    parser.add_argument(
        'source',
        metavar='CONFIG|ANNOTATIONS',
        help='config file or name; with --results also a COCO file',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='path or address of the weights; the test set of the config is '
        'predicted with them',
    )
    parser.add_argument(
        '--results',
        metavar='FILE.json',
        help='detections in the result format of COCO, as `swin-dense test '
        '--results` writes them, instead of a checkpoint',
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='folder of the images of a COCO file; without it no pictures of '
        'errors are drawn',
    )
    parser.add_argument(
        '--limit',
        type=int,
        default=100,
        metavar='N',
        help='detections of an image and class that count (default: 100)',
    )
    parser.add_argument(
        '--out', type=Path, required=True, metavar='DIR', help='report folder'
    )
    cli.add_config_arguments(parser)
    return parser


def analyze(args: argparse.Namespace) -> int:
    """Print and write the report.

    Raises:
        ValueError: If options do not fit together.
    """
    if bool(args.checkpoint) == bool(args.results):
        raise ValueError(
            'name a checkpoint, or a file of results by --results, to analyse'
        )
    if args.limit < 1:
        raise ValueError(f'--limit {args.limit} must be at least 1')
    if args.results:
        report = _analyze_results(args)
    else:
        report = _analyze_checkpoint(args)
    cli.write_json(args.out / 'errors.json', report)
    print(f'report: {args.out}')
    return 0


def _analyze_results(args: argparse.Namespace) -> dict[str, Any]:
    """Analyse a file of detections."""
    detection: Any = import_module('swin_dense.detection.analysis')
    path, folder = args.source, args.images
    if not str(path).endswith('.json'):
        config = load_config(path, args.cfg_options)
        if task_of(config) is not DETECTION:
            raise ValueError(
                '--results is for detectors; give a config and a checkpoint'
            )
        path, images = detection.files_of(config)
        folder = folder or images
    truth, found, kind = detection.read_results(path, args.results)
    return {
        kind: detection.report(
            truth, found, kind, args.out, folder, limit=args.limit
        )
    }


def _analyze_checkpoint(args: argparse.Namespace) -> dict[str, Any]:
    """Predict the test set of a config; analyse the predictions."""
    config = load_config(args.source, args.cfg_options)
    task = task_of(config)
    apply_command_line(
        config, work_dir=str(args.out / 'test'), load_from=args.checkpoint
    )
    with foreign_warnings_to_file():
        runner = build_runner(config)
        runner.test()
    metrics = runner.test_evaluator.metrics
    if task is DETECTION:
        detection: Any = import_module('swin_dense.detection.analysis')
        return detection.report_metrics(
            metrics, args.out, detection.files_of(config)[1], args.limit
        )
    return _report_confusion(metrics, args.out)


def _report_confusion(metrics: Sequence[Any], out: Path) -> dict[str, Any]:
    """Write the confusion matrix of a segmentor or recognizer.

    Raises:
        ValueError: If no metric counts confusions.
    """
    for metric in metrics:
        counts = getattr(metric, 'confusion', None)
        if counts is None:
            continue
        names = [*metric.by_class]
        picture = out / 'confusion.png'
        cli.write_image(
            picture, draw_confusion(counts, names, 'Confusion', False)
        )
        width = max(map(len, names))
        for name, values in metric.by_class.items():
            shown = '  '.join(
                f'{key} {"n/a" if value is None else f"{value:.4g}"}'
                for key, value in values.items()
            )
            print(f'  {name:<{width}}  {shown}')
        for line in _most_confused(counts, names):
            print(f'  {line}')
        print(f'picture: {picture}')
        return dict(classes=metric.by_class, confusion=counts.tolist())
    raise ValueError(
        'the test evaluator of the config counts no confusions: use '
        'swin_dense.CheckedIoUMetric or swin_dense.CheckedAccMetric'
    )


def _most_confused(counts: Any, names: Sequence[str]) -> list[str]:
    """Return sentences on the largest shares of a class taken for another."""
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    pairs = [
        (float(shares[i, j]), i, j)
        for i in range(len(names))
        for j in range(len(names))
        if i != j and counts[i, j]
    ]
    return [
        f'{share:.1%} of {names[i]} is taken for {names[j]}'
        for share, i, j in sorted(pairs, reverse=True)[:10]
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run the command; return its status."""
    return cli.run(analyze, make_parser().parse_args(argv))
