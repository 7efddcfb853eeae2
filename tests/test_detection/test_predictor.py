"""Names of objects for models that read text are split at dots."""

import pytest

from swin_dense.detection.predictor import split_texts


def test_names_are_split_at_dots():
    assert split_texts('person . traffic light') == ['person', 'traffic light']
    assert split_texts('cat.') == ['cat']


@pytest.mark.parametrize('texts', ['', ' . ', 'cat . dog . cat'])
def test_no_names_or_duplicates_are_refused(texts):
    with pytest.raises(ValueError, match='expected one or more different'):
        split_texts(texts)
