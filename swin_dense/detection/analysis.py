"""Analyse detections: read them, sort their errors, write the report."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from pycocotools.coco import COCO

from swin_dense.data.image_files import read_image
from swin_dense.data.wrappers import inner_settings
from swin_dense.detection.annotation_checks import check_ids, load_coco
from swin_dense.detection.annotation_fields import check_fields
from swin_dense.detection.box_checks import fill_in_optional_fields
from swin_dense.detection.error_kinds import sort_errors
from swin_dense.detection.error_report import (
    class_error_table,
    share_table,
    to_dict,
    worst,
)
from swin_dense.engine.cli import write_image
from swin_dense.files import read_json
from swin_dense.visualization.error_sheet import draw_errors
from swin_dense.wording import first_few

WHAT = {'bbox': 'boxes', 'segm': 'masks'}


def files_of(config: Config) -> tuple[str, Path]:
    """Return the annotation file and the image folder of a test set.

    Raises:
        ValueError: If the config has no test set of one file.
    """
    outer = (config.get('test_dataloader') or {}).get('dataset')
    inner = [*inner_settings(outer)] if outer else []
    if len(inner) != 1 or not inner[0].get('ann_file'):
        raise ValueError('the config has no test set of one annotation file')
    root = Path(inner[0].get('data_root') or '')
    prefix = (inner[0].get('data_prefix') or {}).get('img') or ''
    return str(root / inner[0].ann_file), root / prefix


def read_results(ann_file: str, results: str) -> tuple[COCO, COCO, str]:
    """Read the truth and a result file of COCO.

    Returns:
        COCO APIs of truth and detections, and 'bbox' or 'segm'.

    Raises:
        ValueError: If a file is of another kind, or they are not of one set.
    """
    data = load_coco(ann_file)
    check_fields(data, ann_file)
    fill_in_optional_fields(data)
    check_ids(data, ann_file)
    entries = read_json(results)
    wanted = ('image_id', 'category_id', 'score')
    if not isinstance(entries, list) or any(
        not isinstance(e, dict)
        or not all(key in e for key in wanted)
        or not ('bbox' in e or 'segmentation' in e)
        for e in entries
    ):
        raise ValueError(
            f'{results} is not a result file of COCO: expected is a list of '
            f'objects with {", ".join(wanted)}, and bbox or segmentation'
        )
    if not entries:
        raise ValueError(f'{results} has no detections')
    for key, part in (('image_id', 'images'), ('category_id', 'categories')):
        known = {entry['id'] for entry in data[part]}
        strange = {e[key] for e in entries} - known
        if strange:
            raise ValueError(
                f'{results} has {part} that {ann_file} does not have, ids '
                f'{first_few(sorted(strange))}: are both of one set?'
            )
    kind = 'bbox' if 'bbox' in entries[0] else 'segm'
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        for ann in data['annotations']:
            ann['iscrowd'] = int(ann['iscrowd'] or ann.get('ignore', 0))
        truth.dataset = data
        truth.createIndex()
        found = truth.loadRes(entries)
    return truth, found, kind


def report_metrics(
    metrics: Sequence[Any], out: Path, images: Path, limit: int
) -> dict[str, Any]:
    """Report the errors that metrics have just scored.

    Raises:
        ValueError: If no metric keeps what it scored.
    """
    reports = {
        kind: report(
            scorer.cocoGt,
            scorer.cocoDt,
            kind,
            out,
            images,
            categories=list(scorer.params.catIds),
            image_ids=list(scorer.params.imgIds),
            limit=limit,
        )
        for metric in metrics
        for kind, scorer in getattr(metric, 'scorers', {}).items()
    }
    if not reports:
        raise ValueError(
            'the test evaluator of the config keeps no detections: use '
            'swin_dense.CheckedCocoMetric'
        )
    return reports


def report(
    truth: Any,
    found: Any,
    kind: str,
    out: Path,
    images: Path | None,
    *,
    categories: Sequence[int] | None = None,
    image_ids: Sequence[Any] | None = None,
    limit: int = 100,
) -> dict[str, Any]:
    """Print the errors of a kind of detections; draw the worst.

    Args:
        truth: COCO API of the truth.
        found: COCO API of the detections.
        kind: 'bbox' or 'segm'.
        out: Folder for the pictures.
        images: Folder of the images; None for no pictures.
        categories: Category ids that count; all by default.
        image_ids: Image ids that count; all by default.
        limit: Number of detections of an image and class that count.

    Returns:
        Counts and weights, for JSON.
    """
    errors = sort_errors(
        truth,
        found,
        kind=kind,
        categories=categories,
        images=image_ids,
        limit=limit,
    )
    print(f'{kind}\n{share_table(errors)}\n{class_error_table(errors)}')
    if images is not None:
        for category, name in errors.categories.items():
            rows = worst(errors, category)
            if not any(tiles for _, tiles in rows):
                continue
            plain = ''.join(c if c.isalnum() else '_' for c in name)
            path = out / f'{kind}_{category}_{plain}.png'
            write_image(
                path,
                draw_errors(
                    rows,
                    lambda id_: read_image(
                        images / truth.imgs[id_]['file_name']
                    ),
                    f'{name}: errors of {WHAT[kind]}',
                ),
            )
            print(f'picture: {path}')
    return to_dict(errors)
