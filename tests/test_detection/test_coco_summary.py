"""Values of a COCO evaluation are found by name, for any limits."""

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from swin_dense.detection.coco_summary import (
    DEFAULT_ITEMS,
    format_summary,
    item_names,
    summarize,
)

LIMITS = [1, 300]


@pytest.fixture
def scorer():
    """Return an evaluation of one class with constant tables."""
    scorer = COCOeval(iouType='bbox')
    scorer.params.maxDets = LIMITS
    num_ious, num_areas = len(scorer.params.iouThrs), 4
    precision = np.full((num_ious, 101, 1, num_areas, 2), 0.5)
    precision[0] = 0.75  # IoU 0.5
    precision[..., 1, :] = -1  # no small objects
    precision[..., 0] = 0  # of the first detection
    recall = np.full((num_ious, 1, num_areas, 2), 0.25)
    recall[..., 1] = 1
    scorer.eval = dict(precision=precision, recall=recall)
    return scorer


def test_names_follow_the_limits():
    names = item_names([300, 1])
    assert names[: len(DEFAULT_ITEMS)] == list(DEFAULT_ITEMS)
    assert names[len(DEFAULT_ITEMS) :] == [
        'AR@1',
        'AR@300',
        'AR_s@300',
        'AR_m@300',
        'AR_l@300',
    ]


def test_values_by_hand(scorer):
    values = summarize(scorer)
    assert [*values] == item_names(LIMITS)
    assert values['mAP'] == pytest.approx((0.75 + 9 * 0.5) / 10)
    assert values['mAP_50'] == 0.75 and values['mAP_75'] == 0.5
    assert values['mAP_s'] == -1 and values['mAP_m'] == values['mAP']
    assert values['AR@1'] == 0.25 and values['AR@300'] == 1


def test_the_table_has_a_line_for_each_value(scorer):
    lines = format_summary(scorer, summarize(scorer)).splitlines()
    assert len(lines) == len(item_names(LIMITS))
    assert lines[0].split() == (
        'mAP AP @[ IoU=0.50:0.95 | area= all | maxDets= 300 ] = 0.525'.split()
    )
    assert lines[3].startswith('  mAP_s') and lines[3].endswith('=   n/a')
