"""Lines and tables of the console."""

import pytest

from swin_dense.engine.console_lines import (
    duration,
    metrics_table,
    training_line,
)


def test_a_line_of_a_detector():
    values = {
        'base_lr': 2e-4,
        'lr': 1e-5,
        'time': 0.4699,
        'data_time': 0.0193,
        'grad_norm': 53.8,
        'loss': 5.298,
        'loss_rpn_cls': 0.6888,
        'loss_mask': 3.0713,
        'acc': 88.3,
        'memory': 3912,
    }
    assert training_line('iteration 20/1300', values, 601.0) == (
        'iteration 20/1300  loss 5.298 (mask 3.07, rpn_cls 0.689)  lr 0.0002  '
        '0.47 s  10 min left  3912 MB'
    )


def test_losses_of_stages_are_added_and_small_ones_counted():
    values = {'loss': 7.0, 's0.loss_cls': 1.0, 's1.loss_cls': 0.5}
    values |= {f'loss_{name}': 0.1 * n for n, name in enumerate('abcdefg')}
    line = training_line('epoch 1/2, 5/10', values, None)
    assert line == (
        'epoch 1/2, 5/10  loss 7 (cls 1.5, g 0.6, f 0.5, e 0.4, d 0.3, '
        'c 0.2, 2 more)'
    )


def test_waiting_for_data_is_named():
    line = training_line('iteration 1/2', dict(time=0.5, data_time=0.2), 3)
    assert line == 'iteration 1/2  0.5 s (0.2 s for data)  3 s left'
    # A loss without parts.
    assert training_line('x', dict(loss=0.5, lr=0.1), None) == (
        'x  loss 0.5  lr 0.1'
    )


@pytest.mark.parametrize(
    'seconds, text',
    [
        (0.4, '0 s'),
        (99, '99 s'),
        (100, '2 min'),
        (3569, '59 min'),
        (3600, '1 h 0 min'),
        (7500, '2 h 5 min'),
        (97200, '1 d 3 h'),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_boxes_and_masks_side_by_side():
    table = metrics_table(
        {
            'coco/bbox_mAP': 0.4834,
            'coco/bbox_mAP_50': 0.67,
            'coco/segm_mAP': 0.5083,
            'time': 0.3,
        }
    )
    assert table.splitlines() == [
        '            bbox    segm',
        '  mAP      0.483   0.508',
        '  mAP_50   0.670',
    ]


def test_values_of_other_tasks():
    values = {'aAcc': 81.234, 'acc/top1': 0.5, 'name': 'x'}
    assert metrics_table(values).splitlines() == [
        '  aAcc   81.23',
        '  top1   0.500',
    ]
    assert metrics_table({}) == ''
