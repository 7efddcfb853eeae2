"""The report of loading, and the error for another model's checkpoint."""

from swin_dense.checkpoints import CheckpointError, LoadReport
from swin_dense.checkpoints.report import mismatch_error


def test_summary_of_a_complete_checkpoint():
    report = LoadReport('timm classifier', 'a.pth', loaded=['x', 'y'])
    assert report.summary() == (
        'a.pth (timm classifier): 2 of 2 tensors loaded'
    )


def test_summary_names_all_lists():
    report = LoadReport(
        'mmdet/mmseg detector',
        'a.pth',
        loaded=['a'],
        resized=['b'],
        dropped=['c'],
        missing=['d', 'e', 'f', 'g'],
        unexpected=['h'],
        notes=['bias tables 13x13 -> 23x23', 'inflated'],
    )
    assert report.summary() == (
        'a.pth (mmdet/mmseg detector): 2 of 6 tensors loaded, 1 of them '
        'resized, 4 keep their initial values (d, e, f and 1 more), 1 of the '
        'file not used (h), 1 dropped by rule (c); bias tables 13x13 -> '
        '23x23; inflated'
    )


def test_error_names_both_sides():
    error = mismatch_error(
        'a.pth', 9, ['x'], ['y', 'z'], {'w': ((2, 3), (4, 3))}, ['Do this.']
    )
    assert isinstance(error, CheckpointError) and error.report is None
    assert str(error) == (
        'a.pth is not for this model: 1 of 9 tensors of the model are not in '
        'the file (x); 2 of the file are not in the model (y, z); 1 have '
        'another shape (w: (2, 3) in the file, (4, 3) in the model). Do this.'
    )
