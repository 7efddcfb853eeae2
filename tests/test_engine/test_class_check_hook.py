"""The classes of data, model and checkpoint are compared before a run."""

from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS as ROOT_HOOKS
from torch import nn

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.detection.dataset import CheckedCocoDataset
from swin_dense.engine.class_check_hook import (
    ClassCheckHook,
    check_classes,
    check_stuff,
)


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes


class RPNHead(Head):
    pass


class FusedSemanticHead(Head):
    pass


class Detector(nn.Module):
    """Heads of a cascade, with and without a number of classes."""

    def __init__(self, boxes=(2, 2, 2), mask=2, semantic=None):
        super().__init__()
        self.rpn_head = RPNHead(1)
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.ModuleList(map(Head, boxes))
        self.roi_head.mask_head = Head(mask)
        self.roi_head.semantic_head = semantic and FusedSemanticHead(semantic)


def test_heads_of_the_same_classes_pass():
    check_classes(Detector(semantic=183), ['cat', 'dog'])
    check_classes(nn.Conv2d(3, 4, 1), ['cat', 'dog'])


def test_heads_of_other_classes_are_named():
    with pytest.raises(ValueError) as info:
        check_classes(Detector((2, 80, 2), 3), ['cat', 'dog'], 'the test set')
    message = str(info.value)
    assert message.startswith("the test set has 2 classes: 'cat', 'dog'\n")
    assert 'model.roi_head.bbox_head.1 (Head): num_classes=80' in message
    assert 'model.roi_head.mask_head (Head): num_classes=3' in message
    assert 'bbox_head.0' not in message and 'rpn' not in message
    assert 'or set num_classes=2 at these places in the config' in message


def test_a_wrapped_model_has_the_same_paths():
    wrapped = nn.Module()
    wrapped.module = Detector(mask=3)
    with pytest.raises(ValueError, match=r'  model\.roi_head\.mask_head'):
        check_classes(wrapped, ['cat', 'dog'])


@pytest.mark.parametrize(
    'classes, message',
    [
        ('cat', r"got 'cat': write \['cat'\]"),
        (None, 'the data set names no classes'),
        ([], 'the data set names no classes'),
    ],
)
def test_invalid_class_names_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        check_classes(Detector(), classes)


def loop(dataset):
    return SimpleNamespace(
        dataloader=SimpleNamespace(dataset=dataset),
        evaluator=SimpleNamespace(dataset_meta=dataset.metainfo),
    )


def runner(model, train=None, val=None, test=None, resume=False):
    """Return the parts of a runner that the hook reads."""
    val, test = (loop(d) if d else None for d in (val, test))
    return SimpleNamespace(
        model=model,
        _resume=resume,
        train_dataloader=SimpleNamespace(dataset=train),
        val_loop=val,
        test_loop=test,
        _train_loop=dict(type='EpochBasedTrainLoop'),
        _val_loop=val,
        _test_loop=test,
        visualizer=SimpleNamespace(dataset_meta=None),
    )


@pytest.fixture
def make(tmp_path):
    """Return a function that builds a data set for an order of categories."""

    def build(name, file_order=('cat', 'dog'), classes=None, **changes):
        data = tiny_data()
        data['categories'].sort(key=lambda c: file_order.index(c['name']))
        write_data(tmp_path, data, name)
        metainfo = dict(classes=classes) if classes else None
        return CheckedCocoDataset(
            **dataset_config(tmp_path, name, metainfo=metainfo, **changes)
        )

    return build


def test_registered():
    hook = ROOT_HOOKS.build(dict(type='swin_dense.ClassCheckHook'))
    assert isinstance(hook, ClassCheckHook)


@pytest.mark.parametrize('stage', ['train', 'val', 'test'])
def test_each_stage_is_checked(make, stage):
    dataset = make('train')
    fits, fails = Detector(), Detector(mask=80)
    for model in (fits, fails):
        state = runner(model, **{stage: dataset})
        before = getattr(ClassCheckHook(), f'before_{stage}')
        if model is fits:
            before(state)
        else:
            with pytest.raises(ValueError, match='mask_head.*num_classes=80'):
                before(state)


def stuff_data(with_stuff=True, num_stuff_classes=183):
    return SimpleNamespace(
        metainfo=dict(classes=['cat', 'dog']),
        with_stuff=with_stuff,
        num_stuff_classes=num_stuff_classes,
    )


def test_label_maps_that_fit_the_semantic_branch():
    check_stuff(Detector(semantic=183), stuff_data())
    check_stuff(Detector(), stuff_data(False, None))
    check_stuff(Detector(), stuff_data())  # loaded for nothing
    check_stuff(Detector(semantic=183), SimpleNamespace())  # another host's


@pytest.mark.parametrize(
    'data, message',
    [
        (
            stuff_data(False),
            r'learns from label maps, but the training set loads '
            r'none: set data_prefix=dict\(seg=\.\.\.\)',
        ),
        (
            stuff_data(True, 7),
            r'num_classes=183, the label maps of the training '
            r'set num_stuff_classes=7',
        ),
    ],
)
def test_label_maps_of_another_semantic_branch_are_refused(data, message):
    wrapped = nn.Module()
    wrapped.module = Detector(semantic=183)
    for model in (Detector(semantic=183), wrapped):
        with pytest.raises(ValueError, match=message):
            check_stuff(model, data)
    with pytest.raises(ValueError, match=message):
        ClassCheckHook().before_train(runner(Detector(semantic=183), data))


def test_wrapped_data_sets_are_checked(make):
    wrapped = SimpleNamespace(dataset=make('train'))
    with pytest.raises(ValueError, match='num_classes=80'):
        ClassCheckHook().before_train(runner(Detector(mask=80), wrapped))


def test_validation_is_numbered_as_training(make):
    train, val = make('train'), make('val', ('dog', 'cat'), test_mode=True)
    state = runner(Detector(), train, val)
    assert val.metainfo['classes'] == ('dog', 'cat')
    ClassCheckHook().before_train(state)
    assert val.metainfo['classes'] == ('cat', 'dog')
    assert state.val_loop.evaluator.dataset_meta['classes'] == ('cat', 'dog')
    assert state.val_loop.evaluator.dataset_meta['ann_file'] == val.ann_file
    assert state.visualizer.dataset_meta['classes'] == ('cat', 'dog')


def checkpoint(*classes):
    return dict(meta=dict(dataset_meta=dict(classes=classes)))


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_evaluation_is_numbered_as_the_checkpoint(make, stage):
    dataset = make('test', ('dog', 'cat'), test_mode=True)
    state = runner(Detector(), **{stage: dataset})
    hook = ClassCheckHook()
    hook.after_load_checkpoint(state, checkpoint('cat', 'dog'))
    evaluator = getattr(state, f'{stage}_loop').evaluator
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert evaluator.dataset_meta['classes'] == ('cat', 'dog')
    getattr(hook, f'before_{stage}')(state)


@pytest.mark.parametrize(
    'meta',
    [
        dict(CLASSES=('cat', 'cow')),
        dict(dataset_meta=dict(CLASSES=('cat', 'cow'))),
        dict(dataset_meta=dict(palette=[]), classes=('cat', 'cow')),
        dict(dataset_meta=dict(classes=['cat', 'cow'])),
    ],
)
def test_checkpoint_of_other_classes(make, meta):
    hook = ClassCheckHook()
    state = runner(Detector(), make('train'), test=make('test'))
    hook.after_load_checkpoint(state, dict(meta=meta))
    with pytest.raises(ValueError, match=r"only in the checkpoint \['cow'\]"):
        hook.before_test(state)
    # Training may start from the checkpoint, but not resume it.
    state._resume = True
    with pytest.raises(ValueError, match=r"only in the checkpoint \['cow'\]"):
        hook.before_train(state)
    state._resume = False
    hook.before_train(state)
    hook.before_test(state)


def test_an_order_unlike_the_checkpoint_is_refused(make):
    hook = ClassCheckHook()
    hook.after_load_checkpoint(runner(Detector()), checkpoint('cat', 'dog'))
    state = runner(Detector(), val=make('val', classes=['dog', 'cat']))
    with pytest.raises(
        ValueError, match="'cat' is 0 in the checkpoint and 1 in the val"
    ):
        hook.before_val(state)


def test_checkpoints_without_names_pass(make):
    hook = ClassCheckHook()
    hook.after_load_checkpoint(runner(Detector()), dict(state_dict={}))
    hook.before_test(runner(Detector(), test=make('test')))


class Segmentor(nn.Module):
    """The two heads of a segmentor."""

    def __init__(self, count, channels):
        super().__init__()
        for name in ('decode_head', 'auxiliary_head'):
            head = Head(count)
            head.out_channels = channels
            head.conv_seg = nn.Conv2d(2, channels, 1)
            setattr(self, name, head)


def test_heads_of_segmentors():
    check_classes(Segmentor(2, 2), ['cat', 'dog'])
    check_classes(Segmentor(2, 1), ['cat', 'dog'])
    with pytest.raises(ValueError) as info:
        check_classes(Segmentor(4, 4), ['cat', 'dog'])
    for name in ('decode_head', 'auxiliary_head'):
        assert f'  model.{name} (Head): num_classes=4' in str(info.value)
    with pytest.raises(
        ValueError,
        match=r'model.decode_head \(Head\) has out_channels=1 for '
        'num_classes=3: leave out_channels out',
    ):
        check_classes(Segmentor(3, 1), ['cat', 'dog', 'cow'])


def test_label_maps_of_other_classes():
    """The check comes before training, not at the first validation."""
    train, val = (
        SimpleNamespace(metainfo=dict(classes=classes))
        for classes in (['cat', 'dog'], ['dog', 'cat'])
    )
    with pytest.raises(
        ValueError,
        match=r"training set has the classes \['cat', 'dog'\], the "
        r"validation set \['dog', 'cat'\]",
    ):
        ClassCheckHook().before_train(runner(Segmentor(2, 2), train, val))


def test_all_data_sets_of_a_run_are_checked_before_it(make):
    both = SimpleNamespace(
        datasets=[make('train'), make('more', ('dog', 'cat'))],
        metainfo=dict(classes=('cat', 'dog')),
    )
    state = runner(Detector(), val=both)
    ClassCheckHook().before_run(state)
    assert both.datasets[1].metainfo['classes'] == ('cat', 'dog')
    both.datasets[1] = make('wolves', classes=['dog', 'cat'])
    both.datasets[0] = make('train', classes=['cat', 'dog'])
    with pytest.raises(ValueError, match='classes are in different orders'):
        ClassCheckHook().before_run(state)


def test_the_checkpoint_to_compare_is_read_before_a_run(make):
    prepared = []
    metric = SimpleNamespace(prepare=lambda: prepared.append(1))
    state = runner(Detector(), val=make('val', test_mode=True))
    state._val_loop.evaluator.metrics = [metric]
    ClassCheckHook().before_run(state)
    assert prepared == [1]
    two = SimpleNamespace(
        datasets=[make(name, test_mode=True) for name in ('val', 'more')]
    )
    state._val_loop.dataloader.dataset = two
    with pytest.raises(
        ValueError,
        match='one annotation file, the data set '
        'has 2: .*more.json, .*val.json',
    ):
        ClassCheckHook().before_run(state)


def test_more_objects_than_the_model_returns(make, logged):
    model = Detector()
    model.test_cfg = dict(
        rpn=dict(max_per_img=1), rcnn=dict(score_thr=0.1, max_per_img=1)
    )
    state = runner(model, val=make('val', test_mode=True))
    ClassCheckHook().before_run(state)
    assert (
        '2 images to be evaluated have more objects, up to 2, than the '
        'model returns detections per image '
        '(model.test_cfg.rcnn.max_per_img=1)'
    ) in logged.text
    logged.clear()
    model.test_cfg['rcnn']['max_per_img'] = 2
    ClassCheckHook().before_run(state)
    assert 'more objects' not in logged.text
