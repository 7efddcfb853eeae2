"""The stage that fails is named from what was measured."""

import math
from dataclasses import replace

import pytest

from swin_dense.preflight.stages import (
    Evidence,
    is_learnt,
    name_stage,
    rate_problem,
)

LEARNT = Evidence(
    losses=[3.0, 1.0, 0.2],
    change=0.1,
    contrast=1.0,
    assigned={'rpn_head.assigner': 1.0, 'roi_head.bbox_assigner': 1.0},
    proposals=1.0,
    scores={'boxes of any class': 1.0, 'boxes': 1.0, 'masks': 1.0},
)


def test_what_is_learnt_has_no_failing_stage():
    assert name_stage(LEARNT) is None and is_learnt(LEARNT.scores)
    assert not is_learnt({}) and not is_learnt({'boxes': 0.9})


@pytest.mark.parametrize(
    'change, stage, clue',
    [
        (
            dict(losses=[3.0, math.nan]),
            'learning rate',
            'not finite at step 2',
        ),
        (dict(losses=[3.0, math.inf]), 'learning rate', 'lower it'),
        (dict(losses=[3.0, 90.0]), 'learning rate', 'grew from 3 to 90'),
        (dict(change=0.0), 'learning rate', 'raise it'),
        (dict(contrast=1e-6), 'loaded weights', 'equal features'),
        (
            dict(assigned={'rpn_head.assigner': 0.5}),
            'assignment',
            'rpn_head.assigner gives 50% of the objects',
        ),
        (dict(proposals=0.4), 'proposals', 'cover 40%'),
        (
            dict(
                scores={'boxes of any class': 0.3, 'boxes': 0.2, 'masks': 0.1}
            ),
            'boxes',
            'do not fit',
        ),
        (
            dict(
                scores={'boxes of any class': 1.0, 'boxes': 0.5, 'masks': 0.5}
            ),
            'classes',
            'their classes are wrong',
        ),
        (
            dict(
                scores={'boxes of any class': 1.0, 'boxes': 1.0, 'masks': 0.5}
            ),
            'masks',
            'mask_head',
        ),
        (dict(scores={'mIoU': 0.5}), 'classes', 'loss_decode'),
        (dict(scores={'top-1': 0.5}), 'classes', 'cls_head'),
    ],
)
def test_each_stage(change, stage, clue):
    named, advice = name_stage(replace(LEARNT, **change))
    assert named == stage and clue in advice


def test_earlier_stages_come_first():
    worst = replace(
        LEARNT,
        proposals=0.0,
        assigned={'rpn_head.assigner': 0.0},
        scores={'boxes of any class': 0.0, 'boxes': 0.0},
    )
    assert name_stage(worst)[0] == 'assignment'
    assert name_stage(replace(worst, assigned={}))[0] == 'proposals'


def test_a_small_loss_may_waver():
    assert rate_problem([0.01, 0.5], 0.1) == ''
