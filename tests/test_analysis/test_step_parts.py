"""Times of the parts of a training step."""

from pathlib import Path

import pytest

from swin_dense.analysis.benchmark import BenchmarkCase
from swin_dense.analysis.step_parts import LOSSES, time_step

CONFIG = Path(__file__).parents[1] / 'helpers' / 'tiny_mask_reppoints.py'


def test_parts_add_up_to_the_step():
    case = BenchmarkCase(config=str(CONFIG), shape=(64, 96), repeats=2)
    step = time_step(case)
    names = [part.name for part in step.parts]
    # mmdet calls the head's `loss`, which calls its layers.
    assert names == ['backbone', 'neck', 'bbox_head', LOSSES]
    total = sum(part.seconds for part in step.parts)
    assert total == pytest.approx(step.seconds, rel=0.5)
    assert all(part.seconds >= 0 for part in step.parts)
    assert 0 < step.deformable < 1
    table = step.table()
    assert 'whole step' in table and '100.0%' in table
    assert step.to_dict()['parts'][0]['name'] == 'backbone'
