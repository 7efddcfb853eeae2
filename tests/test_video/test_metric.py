"""Accuracy equals values by hand and mmaction2's; bad input is refused."""

import numpy as np
import pytest
import torch

from swin_dense.registry import METRICS
from swin_dense.video.metric import CheckedAccMetric


def samples(scores, labels):
    return [
        dict(
            pred_score=torch.as_tensor(score, dtype=torch.float),
            gt_label=torch.tensor([label]),
        )
        for score, label in zip(scores, labels)
    ]


def evaluate(scores, labels, size=None, classes=None, **kwargs):
    metric = METRICS.build(dict(type='swin_dense.CheckedAccMetric', **kwargs))
    if classes:
        metric.dataset_meta = dict(classes=classes)
    for sample in samples(scores, labels):
        metric.process(None, [sample])
    return metric, metric.evaluate(len(labels) if size is None else size)


def test_values_by_hand():
    scores = [
        [0.1, 0.6, 0.3],
        [0.5, 0.3, 0.2],
        [0.2, 0.3, 0.5],
        [0.6, 0.3, 0.1],
    ]
    metric, values = evaluate(
        scores, [1, 1, 2, 1], classes=['a', 'b', 'c'], topk=(1, 2)
    )
    assert values == {
        'acc/top1': 0.5,
        'acc/top2': 1.0,
        'acc/mean1': pytest.approx((1 / 3 + 1) / 2),
    }
    assert metric.by_class == {
        'a': dict(videos=0, top1=None),
        'b': dict(videos=3, top1=pytest.approx(1 / 3)),
        'c': dict(videos=1, top1=1.0),
    }


def test_values_are_those_of_mmaction2():
    metrics = pytest.importorskip(
        'mmaction.evaluation.metrics', reason='mmaction2 is not installed'
    )
    rng = np.random.default_rng(0)
    scores, labels = rng.random((60, 9)), rng.integers(0, 9, 60)
    host_values = metrics.AccMetric()
    host_values.process(None, samples(scores, labels))
    expected = host_values.evaluate(60)
    _, values = evaluate(scores, labels)
    assert values.keys() == {'acc/top1', 'acc/top5', 'acc/mean1'}
    for name, value in values.items():
        assert value == pytest.approx(expected[name], abs=1e-12)


def test_top_k_of_all_classes_is_left_out():
    _, values = evaluate([[0.9, 0.1], [0.2, 0.8]], [0, 0])
    assert values == {'acc/top1': 0.5, 'acc/mean1': 0.5}


def test_equal_scores_are_no_hit_by_chance():
    _, values = evaluate([[0.25] * 4] * 4, [0, 1, 2, 3], topk=(1, 3))
    assert values == {'acc/top1': 0.25, 'acc/top3': 0.75, 'acc/mean1': 0.25}


def test_confusions_are_logged(logged):
    evaluate(
        [[0.9, 0.1]] * 3 + [[0.2, 0.8]], [0, 1, 1, 1], classes=['up', 'down']
    )
    assert '4 videos scored, of 2 of 2 classes' in logged.text
    assert "2 x 'down' taken for 'up'" in logged.text


@pytest.mark.parametrize(
    'scores, label, message',
    [
        (
            [0.5, 0.5],
            2,
            r'label 2 is out of range: .*num_classes=2 \(valid 0..1\)',
        ),
        ([0.5, 0.5], -1, 'label -1 is out of range'),
        ([[0.5, 0.5]], 0, "set average_clips='prob'"),
        ([float('nan'), 0.5], 0, 'NaN or infinite scores'),
    ],
)
def test_bad_samples(scores, label, message):
    with pytest.raises(ValueError, match=message):
        evaluate([scores], [label])


def test_several_labels():
    (sample,) = samples([[0.5, 0.5]], [0])
    sample['gt_label'] = torch.tensor([0, 1])
    with pytest.raises(ValueError, match='2 labels'):
        CheckedAccMetric().process(None, [sample])


@pytest.mark.parametrize('labels, size', [([], 0), ([], 3), ([0], 2)])
def test_nothing_or_too_little(labels, size):
    message = f'{len(labels)} videos were scored, the data set has {size}'
    with pytest.raises(ValueError, match=message):
        evaluate([[0.5, 0.5]] * len(labels), labels, size)


def test_bad_topk():
    with pytest.raises(ValueError, match='topk must be positive'):
        CheckedAccMetric(topk=(0, 1))
