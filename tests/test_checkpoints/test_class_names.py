"""Class names of a checkpoint and of a data set are compared."""

import pytest
from mmengine.logging import MMLogger

from swin_dense.checkpoints.class_names import check_names, stored_classes
from swin_dense.checkpoints.errors import CheckpointError


@pytest.mark.parametrize(
    'meta, names',
    [
        (dict(dataset_meta=dict(classes=('cat', 'dog'))), ['cat', 'dog']),
        (dict(dataset_meta=dict(CLASSES=['cat', 'dog'])), ['cat', 'dog']),
        (dict(CLASSES=('cat', 'dog'), PALETTE=None), ['cat', 'dog']),
        (dict(dataset_meta=dict(palette=[]), CLASSES=('cat',)), ['cat']),
        (dict(dataset_meta=dict(classes='uav')), ['uav']),
        (dict(dataset_meta=None, epoch=3), None),
        (dict(dataset_meta=dict(classes=())), None),
        (None, None),
    ],
)
def test_stored_names(meta, names):
    assert stored_classes(dict(meta=meta)) == names


def test_no_meta_data():
    assert stored_classes({}) is None


def test_equal_names():
    check_names(['cat', 'dog'], ('cat', 'dog'))


@pytest.mark.parametrize('strict', [True, False])
def test_another_order(strict):
    with pytest.raises(CheckpointError) as error:
        check_names(
            ['cat', 'dog'],
            ('dog', 'cat'),
            'the test set',
            'a.pth',
            strict=strict,
        )
    assert str(error.value).startswith(
        'a.pth has its classes in another order, so labels would be swapped: '
        "'dog' is 1 in the checkpoint and 0 in the test set, 'cat' is 0 in "
        'the checkpoint and 1 in the test set. Give the classes in the order '
        "of the checkpoint, metainfo=dict(classes=['cat', 'dog'])"
    )


def test_other_names_are_an_error():
    with pytest.raises(
        CheckpointError,
        match=r"only in the checkpoint \['cat'\], only in the data set "
        r"\['cow'\].*metainfo=dict\(classes=\['cat', 'dog'\]\)",
    ):
        check_names(['cat', 'dog'], ['dog', 'cow'])


def test_other_names_are_a_warning_in_training(monkeypatch):
    lines = []
    monkeypatch.setattr(
        MMLogger.get_current_instance(), 'warning', lines.append
    )
    check_names(['cat', 'dog'], ['cat', 'cow'], strict=False)
    assert lines == [
        'the checkpoint was trained for other classes: cat, dog instead of '
        'cat, cow'
    ]
    # A name with another index is still an error.
    with pytest.raises(CheckpointError, match="'dog' is 1 in the checkpoint"):
        check_names(['cat', 'dog'], ['dog', 'cow'], strict=False)
