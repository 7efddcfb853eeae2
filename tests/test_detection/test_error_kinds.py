"""Errors of a detector are sorted into kinds and weighed, by hand and COCO."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from swin_dense.detection.error_kinds import precision_area, sort_errors

NAMES = {3: 'cat', 8: 'dog'}
PLACES = dict(cat=3, dog=8)


def apis(truth, found):
    """Return COCO APIs of boxes (image, name, x, width, [crowd or score])."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=i, height=20, width=400) for i in (1, 2)],
        categories=[dict(id=id_, name=name) for id_, name in NAMES.items()],
        annotations=[
            dict(
                id=number,
                image_id=image,
                category_id=PLACES[name],
                bbox=[x, 0, width, 10],
                area=10 * width,
                iscrowd=int(bool(crowd)),
            )
            for number, (image, name, x, width, *crowd) in enumerate(truth, 1)
        ],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        detections = coco.loadRes(
            [
                dict(
                    image_id=image,
                    category_id=PLACES[name],
                    bbox=[x, 0, width, 10],
                    score=score,
                )
                for image, name, x, width, score in found
            ]
        )
    return coco, detections


TRUTH = [
    (1, 'cat', 0, 10),
    (1, 'cat', 20, 10),
    (1, 'dog', 40, 10),
    (1, 'dog', 60, 10),
    (2, 'dog', 0, 10),
    (2, 'cat', 100, 100, True),
]
FOUND = [
    (1, 'cat', 0, 10, 0.9),  # right
    (1, 'cat', 1, 10, 0.8),  # duplicate
    (1, 'dog', 20, 10, 0.7),  # a cat taken for a dog
    (1, 'dog', 46, 10, 0.6),  # IoU 4/16: beside its dog
    (1, 'cat', 66, 10, 0.5),  # beside a dog, and not its class
    (2, 'cat', 300, 10, 0.4),  # background
    (2, 'cat', 120, 10, 0.3),  # in a crowd
]


@pytest.fixture
def errors():
    return sort_errors(*apis(TRUTH, FOUND))


def test_each_kind_by_hand(errors):
    assert [entry.kind for entry in errors.detections] == [
        'right',
        'duplicate',
        'classification',
        'localisation',
        'both',
        'background',
        'ignored',
    ]
    assert errors.counts() == dict(
        classification=1,
        localisation=1,
        both=1,
        duplicate=1,
        background=1,
        missed=2,
    )
    # The dogs at 60 in the first and at 0 in the second image.
    assert [thing.is_missed for thing in errors.objects] == [
        False,
        False,
        False,
        True,
        True,
    ]
    assert errors.counts(PLACES['dog'])['missed'] == 2
    assert errors.counts(PLACES['dog'])['classification'] == 1
    assert errors.detections[3].iou == pytest.approx(4 / 16)


def test_gains_by_hand(errors):
    # Cats: a hit of 2 at the first place: 51 of 101 recalls are reached.
    plain = errors.average_precision()
    assert plain == pytest.approx({3: 51 / 101, 8: 0.0})
    gains = errors.gains()
    # The dog becomes the second cat, after a hit and a duplicate.
    cats = (51 + 50 * 2 / 3) / 101
    assert gains['classification'] == pytest.approx((cats - 51 / 101) / 2)
    # One of three dogs, after the cat that was taken for a dog: precision 1/2
    # at recalls up to 1/3.
    assert gains['localisation'] == pytest.approx(34 / 101 / 2 / 2)
    # What is removed comes after all hits.
    assert gains['both'] == gains['background'] == gains['duplicate'] == 0
    # The one dog that is left is not found either; cats miss none.
    assert gains['missed'] == 0


def test_a_better_detection_keeps_its_object():
    truth = [(1, 'cat', 0, 10)]
    found = [
        (1, 'dog', 0, 10, 0.9),
        (1, 'cat', 6, 10, 0.8),
        (1, 'cat', 0, 10, 0.7),
    ]
    errors = sort_errors(*apis(truth, found))
    kinds = [entry.kind for entry in errors.detections]
    assert kinds == ['classification', 'localisation', 'right']
    # The cat is found: what would find it again is left out.
    assert errors.average_precision('localisation')[3] == 1
    assert errors.average_precision()[3] == pytest.approx(1 / 2)


def test_precision_is_that_of_coco():
    rng = np.random.default_rng(0)
    names = [*PLACES]
    truth = [
        (int(image), names[label], int(x) * 12, 10)
        for image in (1, 2)
        for x, label in zip(rng.permutation(30)[:20], rng.integers(0, 2, 20))
    ]
    found = [
        (image, name, x + int(rng.integers(-6, 7)), 10, float(score))
        for (image, name, x, _), score in zip(truth * 2, rng.random(80))
    ]
    coco, detections = apis(truth, found)
    with contextlib.redirect_stdout(io.StringIO()):
        scorer = COCOeval(coco, detections, 'bbox')
        scorer.evaluate()
        scorer.accumulate()
    theirs = scorer.eval['precision'][0, :, :, 0, -1].mean(0)
    ours = sort_errors(coco, detections).average_precision()
    np.testing.assert_allclose([*ours.values()], theirs, atol=1e-9)
    assert 0.2 < theirs.min() < 0.9


def test_only_the_best_detections_of_an_image_count():
    found = [(1, 'cat', 100 + 12 * i, 10, 0.5 - i / 100) for i in range(5)]
    errors = sort_errors(*apis([(1, 'cat', 0, 10)], found), limit=3)
    assert errors.counts()['background'] == 3


def test_no_detection_and_no_object():
    assert precision_area([], 3) == 0
    errors = sort_errors(*apis([], [(1, 'cat', 0, 10, 0.5)]))
    assert errors.average_precision() == {}
    assert np.isnan(errors.gains()['background'])
