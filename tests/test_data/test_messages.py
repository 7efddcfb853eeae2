"""Parts of messages about data."""

import pytest

from swin_dense.data.messages import (
    check_class_names,
    check_one_list,
    duplicates,
    missing_data_message,
)


def test_duplicates_are_listed_once():
    assert duplicates([3, 1, 3, 2, 1, 3]) == [3, 1]
    assert duplicates('abc') == []


@pytest.mark.parametrize(
    'classes, message',
    [
        ('cat', r"must be a list of names; got 'cat': write \['cat'\]"),
        ([], 'classes is empty: a.json has the categories cat, dog'),
        (['cat', 'cat'], 'classes name cat more than once'),
        (
            ['cat', 'Dog'],
            r"class 'Dog' is not in a.json \(did you mean 'dog'\?\)\. "
            "Categories there: 'cat', 'dog'",
        ),
    ],
)
def test_class_names(classes, message):
    with pytest.raises(ValueError, match=message):
        check_class_names(classes, 'a.json', ['cat', 'dog'])
    check_class_names(['zebra'], 'a.json')
    check_class_names(['dog', 'cat'], 'a.json', ['cat', 'dog'])


def test_a_data_set_reads_one_list():
    check_one_list('a.json')
    with pytest.raises(ValueError, match='is a list of 2 files.*ConcatData'):
        check_one_list(['a.json', 'b.json'])


@pytest.mark.parametrize('exists', [True, False])
def test_a_missing_data_set(tmp_path, exists):
    root = tmp_path if exists else tmp_path / 'no'
    text = missing_data_message(
        'a/b.json', str(root), ['a/b.json', 'a/*.jpg'], 'quick', 'clips'
    )
    state = 'exists' if exists else 'does not exist'
    assert f'a/b.json does not exist (data_root {root} {state};' in text
    assert 'Expected:\n  a/b.json\n  a/*.jpg\n' in text
    assert 'generated clips:\n  swin-dense train quick' in text
