"""Watch pseudo boxes in a training: pictures, and how many are right."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.dataset import Compose, pseudo_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from swin_dense.data.image_files import read_image
from swin_dense.engine.cli import write_image
from swin_dense.registry import HOOKS
from swin_dense.visualization import contact_sheet

PICTURE = 'pseudo_boxes.png'
TABLE = 'pseudo_boxes.csv'
COLUMNS = ('iteration', 'score above', 'boxes', 'precision', 'recall')


class Judgement(NamedTuple):
    """How many pseudo boxes are right.

    Attributes:
        boxes: Number of pseudo boxes.
        right: Those with an object of their class at an IoU of 0.5 or more;
            an object counts once.
        objects: Number of objects.
    """

    boxes: int
    right: int
    objects: int


def judge(found: InstanceData, truth: InstanceData) -> Judgement:
    """Compare the pseudo boxes of an image with its objects.

    Args:
        found: `bboxes` `(n, 4)`, `labels` and `scores`.
        truth: `bboxes` `(m, 4)` and `labels`.
    """
    overlaps = bbox_overlaps(found.bboxes, truth.bboxes)  # (n, m)
    overlaps[found.labels[:, None] != truth.labels] = 0
    right = 0
    for index in found.scores.argsort(descending=True).tolist():
        if not len(truth):
            break
        overlap, place = overlaps[index].max(dim=0)
        if overlap >= 0.5:
            right += 1
            overlaps[:, place] = 0
    return Judgement(len(found), right, len(truth))


@HOOKS.register_module()
class PseudoBoxHook(Hook):
    """Draw and judge the teacher's pseudo boxes at intervals.

    Writes `pseudo_boxes.png` to the work folder: a row for each of a few
    unlabelled images, a column for each time. If the unlabelled data set has
    annotations, which the training does not use, the first column is the
    truth, and `pseudo_boxes.csv` tells how many boxes are right.

    Args:
        interval: Iterations between two looks.
        images: Number of images in the picture.
        judged: Number of unlabelled images that are judged, the first of the
            data set.
        thresholds: Scores above which boxes are judged; those above the first
            are drawn.
        columns: Number of times in the picture; when there are more, every
            second one is dropped.
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int = 1000,
        images: int = 4,
        judged: int = 100,
        thresholds: tuple[float, ...] = (0.5, 0.9),
        columns: int = 6,
    ) -> None:
        self.interval = interval
        self.images = images
        self.judged = judged
        self.thresholds = tuple(thresholds)
        self.columns = columns
        self.seen: dict[int, list[InstanceData]] = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        """Look at the pseudo boxes, if it is time."""
        if self.every_n_train_iters(runner, self.interval) and (
            is_main_process()
        ):
            self.look(runner, runner.iter + 1)

    def look(self, runner: Runner, iteration: int) -> None:
        """Draw and judge the pseudo boxes of now."""
        both = runner.train_dataloader.dataset
        dataset = both.datasets[1]
        infos = [
            dataset.get_data_info(index)
            for index in range(
                min(len(dataset), max(self.images, self.judged))
            )
        ]
        found = self._predict(runner, [info['img_path'] for info in infos])
        # Labels of other classes, or in another order, are no truth.
        names = dataset.metainfo.get('classes') or ()
        is_known = [*names] == [*both.metainfo['classes']]
        truths = [_truth(info if is_known else {}) for info in infos]
        if any(len(truth) for truth in truths):
            rows = self._judge(iteration, found, truths)
            _append(Path(runner.work_dir, TABLE), rows)
            for _, threshold, boxes, precision, recall in rows:
                runner.logger.info(
                    f'pseudo boxes of a score above {threshold}: {boxes} in '
                    f'{len(infos)} images, precision {precision}, recall '
                    f'{recall}'
                )
        self.seen[iteration] = found[: self.images]
        if len(self.seen) > self.columns:
            for number in sorted(self.seen)[-2::-2]:
                del self.seen[number]
        self._draw(runner, infos[: self.images], truths[: self.images])

    def _predict(self, runner: Runner, paths: list[str]) -> list[InstanceData]:
        """Return what the teacher finds, in pixels of the files."""
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        steps = runner.cfg.test_dataloader.dataset.pipeline
        pipeline = Compose(
            [step for step in steps if step['type'] != 'LoadAnnotations']
        )
        before, was_training = model.semi_test_cfg, model.training
        model.semi_test_cfg = dict(before, predict_on='teacher')
        model.eval()
        found = []
        try:
            with torch.no_grad():
                for index, path in enumerate(paths):
                    item = pipeline(dict(img_path=path, img_id=index))
                    (sample,) = model.test_step(pseudo_collate([item]))
                    instances = sample.pred_instances.cpu()
                    found.append(
                        instances[instances.scores > self.thresholds[0]]
                    )
        finally:
            model.semi_test_cfg = before
            model.train(was_training)
        return found

    def _judge(
        self,
        iteration: int,
        found: list[InstanceData],
        truths: list[InstanceData],
    ) -> list[tuple[int, float, int, str, str]]:
        """Return a row of the table for each threshold."""
        rows = []
        for threshold in self.thresholds:
            judged = [
                judge(boxes[boxes.scores > threshold], truth)
                for boxes, truth in zip(found, truths)
            ]
            boxes, right, objects = map(sum, zip(*judged))
            rows.append(
                (
                    iteration,
                    threshold,
                    boxes,
                    f'{right / boxes:.3f}' if boxes else 'n/a',
                    f'{right / objects:.3f}' if objects else 'n/a',
                )
            )
        return rows

    def _draw(
        self, runner: Runner, infos: list[dict], truths: list[InstanceData]
    ) -> None:
        """Write the picture."""
        classes = runner.train_dataloader.dataset.metainfo['classes']
        known = any(len(truth) for truth in truths)
        rows = []
        for index, info in enumerate(infos):
            row: list[Any] = [read_image(info['img_path'])]
            if known:
                row.append(truths[index])
            row += [self.seen[number][index] for number in sorted(self.seen)]
            rows.append(tuple(row))
        titles = ['truth'] * known + [
            f'iteration {number}' for number in sorted(self.seen)
        ]
        sheet = contact_sheet(
            rows,
            classes,
            titles=titles,
            columns=1,
            tile=200,
            score_thr=self.thresholds[0],
        )
        write_image(Path(runner.work_dir, PICTURE), sheet)


def _truth(info: dict) -> InstanceData:
    """Return the objects of an image, without ignored ones."""
    objects = [
        each
        for each in info.get('instances', ())
        if not each.get('ignore_flag')
    ]
    boxes = np.zeros((len(objects), 4), np.float32)
    for row, each in zip(boxes, objects):
        row[:] = each['bbox']
    labels = np.array([each['bbox_label'] for each in objects], np.int64)
    return InstanceData(
        bboxes=torch.from_numpy(boxes), labels=torch.from_numpy(labels)
    )


def _append(path: Path, rows: list[tuple]) -> None:
    """Append rows to a table, with a header if it is new."""
    is_new = not path.exists()
    with path.open('a', newline='') as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)
