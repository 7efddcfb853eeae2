"""Accuracy of action recognition, which refuses empty evaluations."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from swin_dense.engine.finite_scores import check_scores
from swin_dense.registry import METRICS

CONFUSIONS = 5  # number of confusions that are logged


class Scored(NamedTuple):
    """The result of a video.

    Attributes:
        label: True label.
        predicted: Label with the highest score.
        rank: Number of classes with a higher score than the true class.
        num_classes: Number of classes.
    """

    label: int
    predicted: int
    rank: int
    num_classes: int


@METRICS.register_module()
class CheckedAccMetric(BaseMetric):
    """Top-k and mean class accuracy; an evaluation without videos is an error.

    Values are those of mmaction2's AccMetric: `top1`, `top5` and `mean1`, 0
    to 1. Differences to mmaction2's class:

    - Only the rank of the true class of a video is kept in memory.
    - Of equal scores the class with the lower label comes first. Equal scores
      for all classes thus give the accuracy of class 0, and do not depend on
      the order of a sort.
    - A top-k with k not below the number of classes is left out.
    - NaN or infinite scores, labels out of range and skipped videos are
      errors.
    - The most frequent confusions are logged.

    Args:
        topk: The k of each top-k accuracy.
        collect_device: Device on which processes gather results, 'cpu' or
            'gpu'.
        prefix: Prefix of the names; 'acc' if None.

    Attributes:
        by_class: After an evaluation, a dict for each class name with the
            number of its `videos`, and `top1`, the share that was recognised
            or None.
        confusion: After an evaluation, videos (C, C), with true classes as
            rows.

    Raises:
        ValueError: If `topk` is empty or not positive.
    """

    default_prefix = 'acc'

    def __init__(
        self,
        topk: Sequence[int] = (1, 5),
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not topk or min(topk) < 1:
            raise ValueError(f'topk must be positive numbers, got {topk}')
        self.topk = tuple(topk)
        self.by_class: dict[str, dict[str, Any]] = {}
        self.confusion: np.ndarray | None = None
        self.size = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank the true class of each video.

        Args:
            data_batch: Unused.
            data_samples: One dict per video, with `pred_score` (C,) and
                `gt_label`.

        Raises:
            ValueError: If a video has several labels or a label out of range,
                or its scores are NaN, infinite or not one per class.
        """
        for sample in data_samples:
            scores = np.asarray(sample['pred_score'].float().cpu())
            labels = np.ravel(sample['gt_label'].cpu())
            if scores.ndim != 1:
                raise ValueError(
                    f'scores of shape {scores.shape} are not one per class: '
                    "set average_clips='prob' in the model's cls_head"
                )
            if len(labels) != 1:
                raise ValueError(
                    f'a video has {len(labels)} labels, {labels.tolist()}: '
                    'accuracy is of one; for several use mmaction.AccMetric'
                )
            label = int(labels[0])
            if not 0 <= label < len(scores):
                raise ValueError(
                    f'label {label} is out of range: the model has '
                    f'num_classes={len(scores)} (valid 0..{len(scores) - 1})'
                )
            check_scores(scores, 'scores')
            before = scores > scores[label]
            before[:label] |= scores[:label] == scores[label]
            self.results.append(
                Scored(
                    label, int(scores.argmax()), int(before.sum()), len(scores)
                )
            )

    @property
    def value_names(self) -> list[str]:
        """Names of the values that `compute_metrics` may return."""
        return [*(f'top{k}' for k in self.topk), 'mean1']

    def evaluate(self, size: int) -> dict:
        """Gather the ranks of all processes and compute the values.

        Args:
            size: Number of videos in the data set.

        Returns:
            Values by name; see `compute_metrics`.
        """
        self.size = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Compute the values of all videos.

        Args:
            results: The fields of `Scored` for each video.

        Returns:
            Values in 0 to 1 by name, such as `top1`.

        Raises:
            ValueError: If videos were skipped, or there are none.
        """
        if not results or len(results) < self.size:
            raise ValueError(
                f'{len(results)} videos were scored, the data set has '
                f'{self.size}: is it empty, or was the run interrupted?'
            )
        # Gathering from processes turns named tuples into plain ones.
        scored = [Scored(*result) for result in results]
        num_classes = scored[0].num_classes
        names = (self.dataset_meta or {}).get('classes') or range(num_classes)
        names = [str(name) for name in names]
        ranks = np.array([result.rank for result in scored])
        labels = np.array([result.label for result in scored])
        values = {
            f'top{k}': float((ranks < k).mean())
            for k in self.topk
            if k < num_classes
        }
        right = np.bincount(labels[ranks == 0], minlength=num_classes)
        count = np.bincount(labels, minlength=num_classes)
        predicted = [result.predicted for result in scored]
        pairs = labels * num_classes + np.array(predicted)
        counts = np.bincount(pairs, minlength=num_classes**2)
        self.confusion = counts.reshape(num_classes, num_classes)  # (C, C)
        present = count > 0
        values['mean1'] = float((right[present] / count[present]).mean())
        self.by_class = {
            name: {'videos': int(n), 'top1': float(hits / n) if n else None}
            for name, hits, n in zip(names, right, count)
        }
        self._log(scored, names, int(present.sum()))
        return values

    @staticmethod
    def _log(
        results: Sequence[Scored], names: Sequence[str], present: int
    ) -> None:
        """Log the number of videos, and the most frequent confusions."""
        lines = [
            f'{len(results)} videos scored, of {present} of '
            f'{len(names)} classes'
        ]
        confused = Counter(
            (result.label, result.predicted)
            for result in results
            if result.predicted != result.label
        )
        lines += [
            f'  {count} x {names[label]!r} taken for {names[predicted]!r}'
            for (label, predicted), count in confused.most_common(CONFUSIONS)
        ]
        print_log('\n'.join(lines), 'current')
