"""IoU of semantic segmentation, exact and in bounded memory."""

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

from swin_dense.engine.finite_scores import check_scores
from swin_dense.registry import METRICS

VALUES = {
    'mIoU': ('IoU', 'Acc'),
    'mDice': ('Dice', 'Acc'),
    'mFscore': ('Fscore', 'Precision', 'Recall'),
}
ABSENT = 'absent'


@METRICS.register_module()
class CheckedIoUMetric(IoUMetric):
    """mmseg's IoUMetric with integer counts, which refuses empty evaluations.

    Values are in percent, under mmseg's names. Differences to mmseg's class:

    - Pixels are counted as integers in one confusion matrix, so that memory
      does not grow with the number of images.
    - A class without pixels is shown as absent and left out of the means.
    - Labels out of range, skipped images and an evaluation without images are
      errors.

    Args:
        iou_metrics: 'mIoU', 'mDice', 'mFscore' or a list of them.
        classwise: If True, also return the values of each class, as
            `IoU.<name>`.

    Other arguments are those of mmseg's IoUMetric.

    Attributes:
        by_class: After an evaluation, the values of each class by class name;
            None for values that do not exist.
        confusion: After an evaluation, pixels (K, K), with true classes as
            rows.

    Raises:
        ValueError: If an argument is unknown or invalid.
    """

    def __init__(
        self,
        *,
        iou_metrics: Sequence[str] = ('mIoU',),
        classwise: bool = False,
        **kwargs: Any,
    ) -> None:
        # mmseg's class ignores arguments with misspelt names.
        unknown = {*kwargs} - {*inspect.signature(IoUMetric).parameters}
        if unknown:
            raise ValueError(
                f'unknown arguments {sorted(unknown)} of '
                f'{type(self).__name__}: correct or remove them'
            )
        if isinstance(iou_metrics, str):
            iou_metrics = [iou_metrics]
        if not iou_metrics or {*iou_metrics} - {*VALUES}:
            raise ValueError(
                f'iou_metrics={list(iou_metrics)} must be chosen '
                f'from {list(VALUES)}'
            )
        super().__init__(iou_metrics=list(iou_metrics), **kwargs)
        if self.format_only and not self.output_dir:
            raise ValueError(
                'format_only=True needs output_dir, the folder '
                'to write label maps to'
            )
        self.classwise = classwise
        self.by_class: dict[str, dict[str, float | None]] = {}
        self.confusion: np.ndarray | None = None
        self._restart()

    def _restart(self) -> None:
        """Set all counts to zero."""
        self._images = 0
        self._counts: Any = 0
        self._last: Any = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Args:
            data_batch: Unused.
            data_samples: One dict per image, with `pred_sem_seg` (1, H, W)
                and, without `format_only`, `gt_sem_seg` (1, H, W).

        Raises:
            ValueError: If there is no label map, its size differs from that
                of the prediction, a label is neither a class nor ignored, or
                the scores of the classes are NaN or infinite.
        """
        if not self.format_only:
            for sample in data_samples:
                self._check(sample)
                if 'seg_logits' in sample:
                    name = sample.get('img_path', '')
                    logits = sample['seg_logits']['data']
                    check_scores(logits, 'scores', name)
        super().process(data_batch, data_samples)
        self._images += len(data_samples)
        for counts in self.results:
            # The last image is kept apart, since another process may have
            # counted it too; see `compute_metrics`.
            self._counts = self._counts + self._last
            self._last = counts
        self.results.clear()

    @property
    def value_names(self) -> list[str]:
        """Names of the values that `compute_metrics` may return."""
        names = (name for metric in self.metrics for name in VALUES[metric])
        return ['aAcc', *(f'm{name}' for name in names)]

    def _check(self, sample: dict) -> None:
        """Raise a ValueError unless truth and prediction can be compared."""
        name = sample.get('seg_map_path') or sample.get('img_path')
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{name} has no label map to compare with: add LoadAnnotations'
                ' to the test pipeline, or use format_only=True'
            )
        classes = len(self.dataset_meta['classes'])
        prediction, truth = (
            sample[key]['data'].squeeze()  # (H, W)
            for key in ('pred_sem_seg', 'gt_sem_seg')
        )
        if prediction.shape != truth.shape:
            raise ValueError(
                f'{name}: the prediction has {tuple(prediction.shape)} '
                f'pixels (height, width), the label map has '
                f'{tuple(truth.shape)}. Load label maps after Resize in the '
                'test pipeline'
            )
        for what, labels in (
            ('label', truth),
            ('the model predicts label', prediction),
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
        """Count pixels by true and predicted class.

        Args:
            pred_label: Predicted labels `(H, W)`.
            label: True labels `(H, W)`.
            num_classes: Number of classes K.
            ignore_index: True label of ignored pixels.

        Returns:
            The confusion matrix `(K, K)`, with true classes as rows.
        """
        valid = label != ignore_index
        pairs = label[valid].long() * num_classes + pred_label[valid].long()
        counts = torch.bincount(pairs, minlength=num_classes**2)
        counts = counts.reshape(num_classes, num_classes)  # (K, K)
        return counts.cpu().numpy()

    def evaluate(self, size: int) -> dict:
        """Gather the counts of all processes and compute the values.

        Args:
            size: Number of images in the data set.

        Returns:
            Values by name; see `compute_metrics`.
        """
        self.size = size
        self.results = [(self._images, self._counts, self._last)]
        self._restart()
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute the values of all images.

        Args:
            results: For each process the number of its images, the counts of
                all images but the last, and the counts of the last.

        Returns:
            Values in percent by name, such as `mIoU`; empty with
            `format_only`.

        Raises:
            ValueError: If images were skipped, or no pixel has a label.
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
        # All processes have the same number of images. If the images do not
        # divide evenly, the sampler repeats some as the last ones.
        num_repeated = scored - self.size
        if num_repeated >= len(results):
            raise ValueError(
                f'{scored} images were scored, the data set has {self.size}: '
                'some were scored more than once. Does the data loader '
                'repeat images?'
            )
        counts = sum(counts for _, counts, _ in results)
        for _, _, last in results[: len(results) - num_repeated]:
            counts = counts + last
        if not counts.sum():
            raise ValueError(
                f'none of the {scored} images has a pixel with a label: all '
                'pixels are ignored. Check the label maps and ignore_index'
            )
        return self._values(counts)

    def _values(self, counts: np.ndarray) -> dict[str, float]:
        """Compute means by name from the confusion matrix `(K, K)`."""
        self.confusion = counts
        hit, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
        with np.errstate(divide='ignore', invalid='ignore'):
            table = {
                'IoU': hit / (true + predicted - hit),
                'Dice': 2 * hit / (true + predicted),
                'Acc': hit / true,
                'Precision': hit / predicted,
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
        """Log the values of each class.

        Args:
            shares: Share of each class in all labelled pixels `(K,)`.
        """
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
