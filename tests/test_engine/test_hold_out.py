"""The share of the data that validates a training."""

import pytest

from swin_dense.engine.hold_out import hold_out

NAMES = [f'{number}.jpg' for number in range(40)]


def test_share_of_each_group():
    groups = ['many'] * 30 + ['few'] * 8 + ['two'] + ['two']
    held = hold_out(NAMES, groups, 0.1)
    assert [sum(held[:30]), sum(held[30:38]), sum(held[38:])] == [3, 1, 1]


def test_the_choice_depends_on_names_alone():
    held = dict(zip(NAMES, hold_out(NAMES, [0] * 40, 0.2)))
    backwards = NAMES[::-1]
    assert held == dict(zip(backwards, hold_out(backwards, [0] * 40, 0.2)))
    assert sum(held.values()) == 8
    # Pinned: another choice would mix old and new trainings.
    assert hold_out(['a', 'b', 'c'], [0] * 3, 0.1) == [False, False, True]


def test_something_is_left_to_train_on():
    assert sum(hold_out(NAMES[:2], [0, 0], 0.9)) == 1


@pytest.mark.parametrize('share', [0, 1, -0.5, 10])
def test_shares_are_shares(share):
    with pytest.raises(ValueError, match='between 0 and 1, such as 0.1'):
        hold_out(NAMES, [0] * 40, share)


def test_too_few():
    with pytest.raises(ValueError, match='2 items are too few .* with --val'):
        hold_out(NAMES[:2], [0, 1], 0.1)
