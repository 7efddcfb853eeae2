"""IoU of semantic segmentation, counted exactly and in bounded memory."""

import inspect
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmseg.evaluation import IoUMetric
from torch import Tensor

from swin_dense.registry import METRICS

VALUES = {
    'mIoU': ('IoU', 'Acc'),
    'mDice': ('Dice', 'Acc'),
    'mFscore': ('Fscore', 'Precision', 'Recall'),
}
ABSENT = 'absent'


@METRICS.register_module()
class CheckedIoUMetric(IoUMetric):
    """mmseg's IoUMetric that keeps counts, not images, and is never empty.

    Values are in percent and under mmseg's names. Differences: pixels are
    counted in whole numbers, into one matrix of true and predicted classes,
    so that memory does not grow with the number of images; a class without a
    pixel is shown as absent and left out of the means; labels that are no
    class, an evaluation of nothing and one that has skipped images are
    errors.

    Args:
        iou_metrics: 'mIoU', 'mDice', 'mFscore' or a list of them.
        classwise: Whether to return the values of each class too, as
            `IoU.<name>`.

    Other arguments are those of mmseg's IoUMetric.

    Attributes:
        by_class: After an evaluation, the values of each class by its name;
            None for those that do not exist.
    """

    def __init__(
        self,
        *,
        iou_metrics: Sequence[str] = ('mIoU',),
        classwise: bool = False,
        **kwargs,
    ) -> None:
        # mmseg's takes any argument, and leaves a misspelt one unused.
        unknown = {*kwargs} - {*inspect.signature(IoUMetric).parameters}
        if unknown:
            raise ValueError(
                f'unknown arguments {sorted(unknown)} of {type(self).__name__}'
            )
        if isinstance(iou_metrics, str):
            iou_metrics = [iou_metrics]
        if not iou_metrics or {*iou_metrics} - {*VALUES}:
            raise ValueError(
                f'iou_metrics={list(iou_metrics)} must be some '
                f'of {list(VALUES)}'
            )
        super().__init__(iou_metrics=list(iou_metrics), **kwargs)
        if self.format_only and not self.output_dir:
            raise ValueError(
                'format_only=True needs output_dir, the folder '
                'to write label maps to'
            )
        self.classwise = classwise
        self.by_class: dict[str, dict[str, float | None]] = {}
        self._restart()

    def _restart(self) -> None:
        self._images = 0
        self._counts: Any = 0
        self._last: Any = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch: Unused.
            data_samples: One per image, with `pred_sem_seg` and, unless
                results are only written, `gt_sem_seg`.

        Raises:
            ValueError: There is no label map, or not one of this size, or it
                has values that are neither classes nor ignored.
        """
        if not self.format_only:
            for sample in data_samples:
                self._check(sample)
        super().process(data_batch, data_samples)
        self._images += len(data_samples)
        for counts in self.results:
            # The last one is kept apart: it may be counted elsewhere, too.
            self._counts = self._counts + self._last
            self._last = counts
        self.results.clear()

    def _check(self, sample: dict) -> None:
        """Raise unless truth and prediction can be compared."""
        name = sample.get('seg_map_path') or sample.get('img_path')
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{name} has no label map to compare with: add LoadAnnotations'
                ' to the test pipeline, or use format_only=True'
            )
        classes = len(self.dataset_meta['classes'])
        found, truth = (
            sample[key]['data'].squeeze()
            for key in ('pred_sem_seg', 'gt_sem_seg')
        )
        if found.shape != truth.shape:
            raise ValueError(
                f'{name}: the prediction is of {tuple(found.shape)} pixels '
                f'(height, width), the label map of {tuple(truth.shape)}. '
                'Load label maps after Resize in the test pipeline'
            )
        for what, labels in (
            ('label', truth),
            ('the model predicts label', found),
        ):
            # Where the truth is ignored, so is the prediction.
            labels = labels[truth != self.ignore_index]
            wrong = labels[(labels < 0) | (labels >= classes)]
            if wrong.numel():
                raise ValueError(
                    f'{what} {int(wrong[0])} in {name}, num_classes={classes} '
                    f'(valid 0..{classes - 1}, ignored {self.ignore_index})'
                )

    @staticmethod
    def intersect_and_union(
        pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> np.ndarray:
        """Number of pixels by true and predicted class, `(K, K)`."""
        valid = label != ignore_index
        pairs = label[valid].long() * num_classes + pred_label[valid].long()
        counts = torch.bincount(pairs, minlength=num_classes**2)
        return counts.reshape(num_classes, num_classes).cpu().numpy()

    def evaluate(self, size: int) -> dict:
        """Gather the counts of all processes and compute the values.

        Args:
            size: Number of images in the data set.
        """
        self.size = size
        self.results = [(self._images, self._counts, self._last)]
        self._restart()
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Values of all images.

        Args:
            results: For each process, the number of its images, the counts of
                all but its last one, and those of the last one.

        Raises:
            ValueError: Images were skipped, or no pixel has a label.
        """
        scored = sum(images for images, _, _ in results)
        if not scored or scored < self.size:
            raise ValueError(
                f'{scored} images were scored, the data set has {self.size}: '
                'is it empty, was the run interrupted, or are images skipped '
                'by the pipeline?'
            )
        if self.format_only:
            print_log(f'label maps are in {self.output_dir}', 'current')
            return {}
        # Processes have equally many images. Where these do not divide evenly
        # the sampler gives the last ones of the processes twice.
        repeated = scored - self.size
        if repeated >= len(results):
            raise ValueError(
                f'{scored} images were scored, the data set has {self.size}: '
                'some were scored more than once'
            )
        counts = sum(counts for _, counts, _ in results)
        for _, _, last in results[: len(results) - repeated]:
            counts = counts + last
        if not counts.sum():
            raise ValueError(
                f'none of the {scored} images has a pixel with a label: there '
                'is nothing to compare with'
            )
        return self._values(counts)

    def _values(self, counts: np.ndarray) -> dict[str, float]:
        """Means by name, from the counts of all images."""
        hit, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
        with np.errstate(divide='ignore', invalid='ignore'):
            table = {
                'IoU': hit / (true + found - hit),
                'Dice': 2 * hit / (true + found),
                'Acc': hit / true,
                'Precision': hit / found,
                'Recall': hit / true,
            }
            weight = self.beta**2
            table['Fscore'] = (
                (1 + weight)
                * table['Precision']
                * table['Recall']
                / (weight * table['Precision'] + table['Recall'])
            )
        names = list(
            dict.fromkeys(
                name for metric in self.metrics for name in VALUES[metric]
            )
        )
        percent = {name: 100 * table[name] for name in names}
        if self.nan_to_num is not None:
            percent = {
                name: np.nan_to_num(values, nan=self.nan_to_num)
                for name, values in percent.items()
            }
        classes = self.dataset_meta['classes']
        self.by_class = {
            str(label): {
                name: None if math.isnan(values[i]) else float(values[i])
                for name, values in percent.items()
            }
            for i, label in enumerate(classes)
        }
        self._log(true / true.sum())
        means = {'aAcc': 100 * hit.sum() / true.sum()}
        means.update(
            (f'm{name}', np.nanmean(values))
            for name, values in percent.items()
            if not np.isnan(values).all()
        )
        if self.classwise:
            means.update(
                (f'{name}.{label}', value)
                for label, values in self.by_class.items()
                for name, value in values.items()
                if value is not None
            )
        return {name: round(float(value), 2) for name, value in means.items()}

    def _log(self, shares: np.ndarray) -> None:
        """Log the values of each class."""
        names = list(next(iter(self.by_class.values())))
        head = ''.join(f'{name:>10}' for name in names)
        lines = [f'  {"pixels":>8}{head}  class']
        for share, (label, values) in zip(shares, self.by_class.items()):
            cells = ''.join(
                f'{ABSENT:>10}' if value is None else f'{value:>10.2f}'
                for value in values.values()
            )
            lines.append(f'  {share:>8.2%}{cells}  {label}')
        print_log('values by class in percent\n' + '\n'.join(lines), 'current')
        missing = [
            str(label)
            for share, label in zip(shares, self.by_class)
            if not share
        ]
        if missing:
            print_log(
                f'{len(missing)} of {len(shares)} classes are absent from the '
                f'label maps: {", ".join(missing)}',
                'current',
                logging.WARNING,
            )
