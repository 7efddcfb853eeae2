"""Accuracy of action recognition that never passes in silence."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from swin_dense.registry import METRICS

CONFUSIONS = 5  # how many are logged


class Scored(NamedTuple):
    """What is kept of a video.

    Attributes:
        label: The true one.
        found: The one of the highest score.
        rank: How many classes come before the true one, by their score.
        classes: How many there are.
    """

    label: int
    found: int
    rank: int
    classes: int


@METRICS.register_module()
class CheckedAccMetric(BaseMetric):
    """Top-k and mean class accuracy; an evaluation of nothing is an error.

    Values are those of mmaction2's AccMetric, shares of 1 named `top1`,
    `top5` and `mean1`. Differences: only the rank of the true class is kept
    of a video; of equal scores the class of the lower label comes first, so
    that a model which scores all alike is not right by chance of a sort; a
    top-k that no video could miss is left out; scores that are no numbers,
    labels that are no class, and skipped videos are errors. Frequent
    confusions are logged.

    Args:
        topk: Which top-k accuracies.
        collect_device: Where processes collect results, 'cpu' or 'gpu'.
        prefix: Of the names; 'acc' if None.

    Attributes:
        by_class: After an evaluation, for each class by its name the number
            of its videos and the share that was recognised, None without any.

    Raises:
        ValueError: `topk` is empty or not positive.
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
        self.size = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Rank the true class of each video.

        Args:
            data_batch: Unused.
            data_samples: One per video, with `pred_score`, one per class, and
                `gt_label`.

        Raises:
            ValueError: A video has several labels or one that is no class, or
                its scores are no numbers or not one per class.
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
                    f'label {label} is no class: the model has num_classes='
                    f'{len(scores)} (valid 0..{len(scores) - 1})'
                )
            if not np.isfinite(scores).all():
                raise ValueError(
                    'the model puts out scores that are no '
                    'numbers: its training has diverged'
                )
            before = scores > scores[label]
            before[:label] |= scores[:label] == scores[label]
            self.results.append(
                Scored(
                    label, int(scores.argmax()), int(before.sum()), len(scores)
                )
            )

    def evaluate(self, size: int) -> dict:
        """Gather the ranks of all processes and compute the values.

        Args:
            size: Number of videos in the data set.
        """
        self.size = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[tuple]) -> dict[str, float]:
        """Values of all videos.

        Args:
            results: What makes a `Scored`, for each.

        Raises:
            ValueError: Videos were skipped, or there are none.
        """
        if not results or len(results) < self.size:
            raise ValueError(
                f'{len(results)} videos were scored, the data set has '
                f'{self.size}: is it empty, or was the run interrupted?'
            )
        # Gathering makes plain tuples of them.
        scored = [Scored(*result) for result in results]
        classes = scored[0].classes
        names = (self.dataset_meta or {}).get('classes') or range(classes)
        names = [str(name) for name in names]
        ranks = np.array([result.rank for result in scored])
        labels = np.array([result.label for result in scored])
        values = {
            f'top{k}': float((ranks < k).mean())
            for k in self.topk
            if k < classes
        }
        right = np.bincount(labels[ranks == 0], minlength=classes)
        count = np.bincount(labels, minlength=classes)
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
        """Log how much was scored, and what is taken for what."""
        lines = [
            f'{len(results)} videos scored, of {present} of '
            f'{len(names)} classes'
        ]
        confused = Counter(
            (result.label, result.found)
            for result in results
            if result.found != result.label
        )
        lines += [
            f'  {count} x {names[label]!r} taken for {names[found]!r}'
            for (label, found), count in confused.most_common(CONFUSIONS)
        ]
        print_log('\n'.join(lines), 'current')
