"""Classes of data sets and checkpoint are compared by name."""

from swin_dense.preflight.classes import find_problem, table

NAMES = ['cat', 'dog', 'owl']
COUNTS = dict(train=[5, 3, 0], val=[1, 1, 1])


def test_equal_names_pass():
    assert find_problem(dict(train=NAMES, val=NAMES), COUNTS) == ''


def test_another_order_is_named():
    problem = find_problem(
        dict(train=NAMES, val=['dog', 'cat', 'owl']), COUNTS
    )
    assert "label 0 is 'cat' in train and 'dog' in val" in problem


def test_a_longer_list_is_named():
    problem = find_problem(dict(train=NAMES, val=NAMES[:2]), COUNTS)
    assert 'train has 3 classes, val 2' in problem


def test_a_checkpoint_may_have_others_but_none_elsewhere():
    names = dict(train=NAMES, val=NAMES, checkpoint=['cat', 'dog', 'bat'])
    assert find_problem(names, COUNTS) == ''
    names['checkpoint'] = ['dog', 'cat']
    assert "'cat' is 1 in the checkpoint and 0" in find_problem(names, COUNTS)
    names['checkpoint'] = []
    assert find_problem(names, COUNTS) == ''


def test_objects_of_one_class_alone():
    problem = find_problem(dict(train=NAMES), dict(train=[0, 8, 0]))
    assert "all 8 objects of the training set are of class 'dog'" in problem
    assert find_problem(dict(train=['dog']), dict(train=[8])) == ''


def test_no_names():
    assert 'names no classes' in find_problem(dict(train=[]), dict(train=[]))


def test_the_table_has_a_row_for_each_label():
    names = dict(train=NAMES, val=NAMES, checkpoint=['cat'])
    assert table(names, COUNTS) == [
        'label  train    val      checkpoint',
        '0      cat (5)  cat (1)  cat',
        '1      dog (3)  dog (1)  -',
        '2      owl (0)  owl (1)  -',
    ]
