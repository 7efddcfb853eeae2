"""Predictions that are NaN or infinite are refused."""

import numpy as np
import pytest
import torch
from torch import nn

from swin_dense.detection.metric import CheckedCocoMetric
from swin_dense.engine.finite_scores import (
    check_scores,
    refuse_nonfinite_features,
)
from swin_dense.segmentation.metric import CheckedIoUMetric


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_values_are_checked(bad):
    check_scores(np.ones(3), 'scores')
    check_scores(torch.zeros(0, 4), 'bboxes')
    with pytest.raises(
        ValueError, match='NaN or infinite boxes for a.jpg: training has'
    ):
        check_scores(np.array([1.0, bad]), 'boxes', 'a.jpg')


def test_features_are_checked():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Linear(2, 2)

    model = Model()
    refuse_nonfinite_features(model)
    model.backbone(torch.ones(1, 2))
    with pytest.raises(ValueError, match='NaN or infinite features'):
        model.backbone(torch.full((1, 2), torch.inf))
    refuse_nonfinite_features(nn.Linear(1, 1))


def test_the_metric_of_detectors_refuses_nan():
    instances = dict(
        bboxes=torch.zeros(2, 4),
        scores=torch.tensor([0.5, torch.nan]),
        labels=torch.zeros(2, dtype=torch.int64),
    )
    sample = dict(img_id=7, pred_instances=instances)
    with pytest.raises(ValueError, match='infinite scores for image 7'):
        CheckedCocoMetric(metric='bbox').process({}, [sample])


def test_the_metric_of_segmentors_refuses_nan():
    metric = CheckedIoUMetric()
    metric.dataset_meta = dict(classes=('a', 'b'))
    labels = dict(data=torch.zeros(1, 4, 4, dtype=torch.int64))
    sample = dict(
        img_path='a.png',
        pred_sem_seg=labels,
        gt_sem_seg=labels,
        seg_logits=dict(data=torch.full((2, 4, 4), torch.nan)),
    )
    with pytest.raises(ValueError, match='infinite scores for a.png'):
        metric.process({}, [sample])
