"""IoU equals mmseg and counts by hand; bad input is refused."""

import warnings

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS as ROOT_METRICS
from mmseg.evaluation import IoUMetric
from PIL import Image

from swin_dense.segmentation.metric import CheckedIoUMetric

CLASSES = ['background', 'circle', 'square', 'triangle']
ALL = ['mIoU', 'mDice', 'mFscore']


def sample(truth, prediction, name='a'):
    """Return the data sample of an image as a dict."""
    truth, prediction = (
        dict(data=torch.as_tensor(labels)[None])
        for labels in (truth, prediction)
    )
    return dict(
        gt_sem_seg=truth,
        pred_sem_seg=prediction,
        img_path=f'{name}.jpg',
        seg_map_path=f'{name}.png',
    )


def random_samples(count, classes=4, ignored=0.2):
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        truth = rng.integers(0, classes, (20, 30))
        prediction = np.where(
            rng.random(truth.shape) < 0.6,
            truth,
            rng.integers(0, classes, truth.shape),
        )
        truth[rng.random(truth.shape) < ignored] = 255
        samples.append(sample(truth, prediction, str(i)))
    return samples


def evaluate(metric, samples, classes=CLASSES, size=None, batch=2):
    metric.dataset_meta = dict(classes=classes)
    for i in range(0, len(samples), batch):
        metric.process(None, samples[i : i + batch])
    return metric.evaluate(len(samples) if size is None else size)


def test_by_hand():
    truth = [[0, 0, 0, 0], [1, 1, 2, 255]]
    prediction = [[0, 0, 0, 1], [1, 1, 1, 2]]
    metric = CheckedIoUMetric(classwise=True)
    values = evaluate(metric, [sample(truth, prediction)])
    assert values == {
        'aAcc': round(500 / 7, 2),
        'mIoU': round((75 + 50 + 0) / 3, 2),
        'mAcc': round((75 + 100 + 0) / 3, 2),
        'IoU.background': 75,
        'Acc.background': 75,
        'IoU.circle': 50,
        'Acc.circle': 100,
        'IoU.square': 0,
        'Acc.square': 0,
    }
    assert metric.by_class['triangle'] == dict(IoU=None, Acc=None)


@pytest.mark.parametrize('classes', [4, 3])
@pytest.mark.parametrize('options', [{}, dict(nan_to_num=0), dict(beta=2)])
def test_equals_mmseg(classes, options):
    """Values are those of mmseg, also if class 3 is absent."""
    options = dict(iou_metrics=ALL, **options)
    samples = random_samples(7, classes)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)
        expected = evaluate(IoUMetric(**options), samples)
    assert 50 < expected['aAcc'] < 80
    values = evaluate(CheckedIoUMetric(**options), samples)
    assert values == {
        name: pytest.approx(float(value), abs=0.011)
        for name, value in expected.items()
    }


def test_exact_where_float32_is_not():
    """Above 2^24 pixels, mmseg's float32 sums lose single pixels."""
    metric = CheckedIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    metric._counts = np.zeros((4, 4), np.int64)
    metric._counts[0, 0] = 2**40
    metric._images = 1
    for _ in range(3):
        metric.process(None, [sample([[0]], [[1]])])
    assert (metric._counts + metric._last)[0, 1] == 3


def test_memory_does_not_grow():
    metric = CheckedIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    samples = random_samples(1)
    for _ in range(50):
        metric.process(None, samples)
    assert metric.results == []
    assert metric._counts.shape == metric._last.shape == (4, 4)
    assert metric.evaluate(50)['aAcc'] == evaluate(metric, samples)['aAcc']


def test_absent_classes_are_shown_as_absent(logged):
    metric = CheckedIoUMetric()
    evaluate(metric, [sample([[0, 1]], [[0, 2]])])
    lines = [line.split() for line in logged.text.splitlines()]
    assert ['50.00%', '0.00', '0.00', 'circle'] in lines
    assert ['0.00%', '0.00', 'absent', 'square'] in lines
    assert ['0.00%', 'absent', 'absent', 'triangle'] in lines
    assert 'nan' not in logged.text
    assert (
        '2 of 4 classes are absent from the label maps: square, tri'
        in logged.text
    )


@pytest.mark.parametrize(
    'scored, size, message',
    [
        (0, 0, '0 images were scored, the data set has 0: is it empty'),
        (0, 3, '0 images were scored, the data set has 3'),
        (2, 3, '2 images were scored, the data set has 3'),
        (3, 2, 'some were scored more than once'),
    ],
)
def test_empty_evaluation(scored, size, message):
    with pytest.raises(ValueError, match=message):
        evaluate(CheckedIoUMetric(), random_samples(scored), size=size)


def test_everything_ignored():
    with pytest.raises(
        ValueError, match='none of the 1 images has a pixel with a label'
    ):
        evaluate(CheckedIoUMetric(), [sample([[255, 255]], [[0, 9]])])


def test_starts_anew_after_each_evaluation():
    metric = CheckedIoUMetric()
    evaluate(metric, [sample([[0]], [[1]])])
    assert evaluate(metric, [sample([[0]], [[0]])])['aAcc'] == 100
    with pytest.raises(ValueError, match='0 images were scored'):
        metric.evaluate(1)


@pytest.mark.parametrize(
    'truth, prediction, message',
    [
        (
            [[4, 0]],
            [[0, 0]],
            r'label 4 in a.png, num_classes=4 \(valid 0..3, ign',
        ),
        ([[0, 0]], [[0, 5]], r'the model predicts label 5 in a.png'),
        (
            [[0, 0]] * 2,
            [[0, 0, 0]] * 2,
            r'prediction has \(2, 3\) pixels .* the label map has \(2, 2\)',
        ),
    ],
)
def test_labels_that_do_not_fit(truth, prediction, message):
    with pytest.raises(ValueError, match=message):
        evaluate(CheckedIoUMetric(), [sample(truth, prediction)])


def test_no_label_map():
    nothing = sample([[0]], [[0]])
    del nothing['gt_sem_seg']
    with pytest.raises(ValueError, match='a.png has no label map to compare'):
        evaluate(CheckedIoUMetric(), [nothing])


def test_label_maps_are_written(tmp_path):
    labels = np.array([[0, 1], [2, 3]])
    sample_ = sample(labels, labels, 'photo')
    del sample_['gt_sem_seg']
    metric = CheckedIoUMetric(output_dir=str(tmp_path), format_only=True)
    assert evaluate(metric, [sample_]) == {}
    np.testing.assert_array_equal(Image.open(tmp_path / 'photo.png'), labels)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (
            dict(iou_metrics='mIuO'),
            r"iou_metrics=\['mIuO'\] must be chosen from",
        ),
        (dict(iou_metrics=[]), 'must be chosen from'),
        (dict(format_only=True), 'format_only=True needs output_dir'),
        (dict(clasewise=True), r"unknown arguments \['clasewise'\]"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ROOT_METRICS.build(dict(type='swin_dense.CheckedIoUMetric', **wrong))


@pytest.mark.parametrize('processes', [1, 2, 3, 5, 7])
def test_repeated_images_count_once(processes):
    """The sampler repeats images if they do not divide evenly."""
    samples = random_samples(5)
    dealt = -(-len(samples) // processes) * processes
    order = [i % len(samples) for i in range(dealt)]
    states = []
    metric = CheckedIoUMetric(iou_metrics=ALL)
    metric.dataset_meta = dict(classes=CLASSES)
    for rank in range(processes):
        metric.process(None, [samples[i] for i in order[rank::processes]])
        states.append((metric._images, metric._counts, metric._last))
        metric._restart()
    metric.size = len(samples)
    alone = evaluate(CheckedIoUMetric(iou_metrics=ALL), samples)
    assert metric.compute_metrics(states) == alone
