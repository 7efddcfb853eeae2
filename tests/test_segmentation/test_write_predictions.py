"""Areas of classes are counted."""

import numpy as np
import pytest

pytest.importorskip('mmseg', reason='the models are of mmseg')


from swin_dense.segmentation.result import class_areas  # noqa: E402


def test_areas_by_hand():
    labels = np.array([[0, 2, 2], [2, 2, 2]])
    assert class_areas(labels, ['a', 'b', 'c']) == {
        'c': {'pixels': 5, 'share': 0.833333},
        'a': {'pixels': 1, 'share': 0.166667},
    }
