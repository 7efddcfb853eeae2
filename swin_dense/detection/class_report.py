"""Tables and pictures of an evaluation, class by class."""

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.cocoeval import COCOeval

from swin_dense.visualization.evaluation import (
    draw_confusion,
    draw_precision_recall,
)
from swin_dense.visualization.palette import Colour

# A detection counts in the confusion matrix from this score on.
SCORE_THR = 0.3
IOU_THR = 0.5


def class_table(scorer: COCOeval, names: Sequence[str]) -> str:
    """Return a table with a line for each class, the best first.

    Args:
        scorer: Accumulated evaluation.
        names: Class names in the order of the evaluation's categories.
    """
    objects = _count_objects(scorer)
    precision = scorer.eval['precision'][..., 0, -1]  # (T, R, K)
    recall = scorer.eval['recall'][..., 0, -1]  # (T, K)
    at_50 = np.isclose(scorer.params.iouThrs, 0.5)
    rows: list[tuple[str, int, list[float]]] = []
    for index, name in enumerate(names):
        values = [
            float(table.mean()) if table.size and table.min() > -1 else np.nan
            for table in (
                precision[..., index],
                precision[at_50, :, index],
                recall[:, index],
            )
        ]
        rows.append((name, objects[index], values))
    rows.sort(key=lambda row: -np.nan_to_num(row[2][0], nan=-1))
    width = max(len('class'), *(len(name) for name in names))
    lines = [f'  {"class":<{width}}  objects     AP   AP50     AR']
    for name, count, values in rows:
        shown = '  '.join(
            'n/a'.rjust(5) if np.isnan(value) else f'{value:.3f}'
            for value in values
        )
        lines.append(f'  {name:<{width}}  {count:7}  {shown}')
    return '\n'.join(lines)


def precision_recall(
    scorer: COCOeval,
    names: Sequence[str],
    tints: Sequence[Colour] | None = None,
) -> np.ndarray:
    """Draw precision over recall at an IoU of 0.5.

    Args:
        scorer: Accumulated evaluation.
        names: Class names in the order of the evaluation's categories.
        tints: Colours in the same order; see `draw_precision_recall`.

    Returns:
        The picture (height, width, 3), BGR, uint8.
    """
    thresholds = scorer.params.iouThrs
    index = int(np.abs(thresholds - IOU_THR).argmin())
    curves = scorer.eval['precision'][index, :, :, 0, -1].T  # (K, R)
    what = {'bbox': 'boxes', 'segm': 'masks'}[scorer.params.iouType]
    return draw_precision_recall(
        np.where(curves < 0, np.nan, curves),
        scorer.params.recThrs,
        names,
        f'Precision and recall of {what}, IoU {thresholds[index]:.2f}',
        tints,
    )


def confusion(scorer: COCOeval, names: Sequence[str]) -> np.ndarray:
    """Draw which classes objects were detected as.

    Args:
        scorer: Accumulated evaluation.
        names: Class names in the order of the evaluation's categories.

    Returns:
        The picture (height, width, 3), BGR, uint8.
    """
    what = {'bbox': 'boxes', 'segm': 'masks'}[scorer.params.iouType]
    return draw_confusion(
        count_confusions(scorer),
        names,
        f'Confusion of {what}, score {SCORE_THR}, IoU {IOU_THR}',
    )


def count_confusions(scorer: COCOeval) -> np.ndarray:
    """Count which classes objects were detected as.

    Detections of a score from `SCORE_THR` on are matched with objects of any
    class, the pair with the largest IoU first, from `IOU_THR` on. Crowds do
    not count, nor do detections that only match a crowd.

    Args:
        scorer: Evaluation.

    Returns:
        Counts (K + 1, K + 1); see `draw_confusion`.
    """
    categories = list(scorer.params.catIds)
    numbers = {category: index for index, category in enumerate(categories)}
    counts = np.zeros((len(numbers) + 1,) * 2, int)
    is_box = scorer.params.iouType == 'bbox'
    for image in scorer.params.imgIds:
        truth, found = (
            [
                entry
                for entry in coco.imgToAnns[image]
                if entry['category_id'] in numbers
            ]
            for coco in (scorer.cocoGt, scorer.cocoDt)
        )
        found = [entry for entry in found if entry['score'] >= SCORE_THR]
        crowd = np.array([bool(entry['iscrowd']) for entry in truth], bool)
        overlaps = np.zeros((len(found), len(truth)))
        if found and truth:
            shapes = [
                [
                    entry['bbox'] if is_box else coco.annToRLE(entry)
                    for entry in entries
                ]
                for coco, entries in (
                    (scorer.cocoDt, found),
                    (scorer.cocoGt, truth),
                )
            ]
            overlaps = coco_mask.iou(*shapes, crowd.astype(np.uint8))
        predicted = [numbers[entry['category_id']] for entry in found]
        expected = [numbers[entry['category_id']] for entry in truth]
        in_crowd: np.ndarray = np.any(overlaps[:, crowd] >= IOU_THR, axis=1)
        overlaps = np.where(crowd[None], 0, overlaps)
        free_found, free_truth = {*range(len(found))}, {*range(len(truth))}
        for flat in np.argsort(-overlaps, axis=None, kind='stable'):
            row, column = divmod(int(flat), len(truth))
            if overlaps[row, column] < IOU_THR:
                break
            if row in free_found and column in free_truth:
                counts[expected[column], predicted[row]] += 1
                free_found.remove(row)
                free_truth.remove(column)
        for row in free_found:
            counts[-1, predicted[row]] += not in_crowd[row]
        for column in free_truth:
            counts[expected[column], -1] += not crowd[column]
    return counts


def _count_objects(scorer: COCOeval) -> list[int]:
    """Return the number of objects of each class, without crowds."""
    images = {*scorer.params.imgIds}
    counts = dict.fromkeys(scorer.params.catIds, 0)
    for entry in scorer.cocoGt.dataset['annotations']:
        if entry['category_id'] in counts and entry['image_id'] in images:
            counts[entry['category_id']] += not entry['iscrowd']
    return list(counts.values())
