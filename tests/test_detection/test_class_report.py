"""An evaluation is reported class by class, as a table and as pictures."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swin_dense.detection.class_report import (
    class_table,
    confusion,
    count_confusions,
    precision_recall,
)
from swin_dense.visualization.palette import class_colour

NAMES = ['cat', 'dog', 'owl']


def scorer(truth, found):
    """Score boxes (image, category, x, [score or crowd]) 10 pixels wide."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=i, height=20, width=100) for i in (1, 2)],
        categories=[dict(id=5 * n, name=NAMES[n]) for n in range(3)],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=5 * label,
                bbox=[x, 0, 10, 10],
                area=100,
                iscrowd=int(bool(crowd)),
            )
            for number, (image, label, x, *crowd) in enumerate(truth, 1)
        ],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        detections = coco.loadRes(
            [
                dict(
                    image_id=image,
                    category_id=5 * label,
                    bbox=[x, 0, 10, 10],
                    score=score,
                )
                for image, label, x, score in found
            ]
        )
        result = COCOeval(coco, detections, 'bbox')
        result.evaluate()
        result.accumulate()
    return result


@pytest.fixture
def scored():
    truth = [(1, 0, 0), (1, 0, 20), (1, 1, 40), (2, 1, 0), (2, 1, 60, 1)]
    found = [
        (1, 0, 0, 0.9),  # right
        (1, 1, 21, 0.8),  # a cat that is taken for a dog
        (1, 1, 40, 0.7),  # right
        (1, 0, 40, 0.6),  # the same dog as a cat, which is a second detection
        (2, 0, 80, 0.5),  # background
        (2, 1, 60, 0.5),  # in a crowd
        (2, 1, 0, 0.2),  # right, but of low score
    ]
    return scorer(truth, found)


def test_confusions_by_hand(scored):
    expected = np.zeros((4, 4), int)
    expected[0, 0] = expected[0, 1] = expected[1, 1] = 1
    expected[1, 3] = 1  # missed
    expected[3, 0] = 2  # background and the second detection
    np.testing.assert_array_equal(count_confusions(scored), expected)


def test_nothing_found_or_nothing_there():
    truth = scorer([(1, 0, 0)], [(2, 1, 0, 0.9)])
    counts = count_confusions(truth)
    assert counts[0, 3] == counts[3, 1] == counts.sum() - 1 == 1


def test_a_table_by_class(scored):
    head, first, second, third = class_table(scored, NAMES).splitlines()
    assert head.split() == ['class', 'objects', 'AP', 'AP50', 'AR']
    name, objects, ap, ap50, recall = first.split()
    # Half of the dogs are found before any mistake but one.
    assert (name, objects) == ('cat', '2') or (name, objects) == ('dog', '2')
    assert 0 < float(ap) <= float(ap50) <= 1 and 0 < float(recall) <= 1
    assert third.split() == ['owl', '0', 'n/a', 'n/a', 'n/a']


def test_pictures(scored):
    curves = precision_recall(scored, NAMES)
    matrix = confusion(scored, NAMES)
    for picture in (curves, matrix):
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        assert picture.shape[0] > 400
        assert (picture[0, 0] == 255).all()
        assert cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).std() > 5


def test_a_curve_has_the_colour_of_its_class(scored):
    """Whatever its rank is."""
    tints = [(0, 0, 250), (0, 250, 0), (250, 0, 0)]
    for index, tint in enumerate(tints[:2]):
        names = ['cat', 'dog', 'owl']
        shown = precision_recall(scored, names, tints)
        assert (shown == tint).all(-1).sum() > 100
        shown = precision_recall(scored, names)
        assert (shown == class_colour(index)).all(-1).sum() > 100


def test_pictures_of_one_class():
    one = scorer([(1, 0, 0)], [(1, 0, 0, 0.9)])
    one.params.catIds = [0]
    assert precision_recall(one, ['cat', 'b', 'c']).shape[2] == 3
