"""Hooks that stop a run whose parts do not fit together."""
from typing import Any, List, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch import nn

from swin_dense.checkpoints.classes import (check_names, class_heads,
                                            stored_classes)
from swin_dense.registry import HOOKS

__all__ = ['ClassCheckHook', 'check_classes', 'check_stuff']


def check_classes(model: nn.Module,
                  classes: Optional[Sequence[str]],
                  source: str = 'the data set') -> None:
    """Check that every head has as many classes as there are names.

    Args:
        model: A detector or segmentor, wrapped or not.
        classes: Names in label order.
        source: Where the names come from, for the message.

    Raises:
        ValueError: `classes` is missing, a string or empty; or a head, named
            by its path in the model, has another count or fewer channels.
    """
    if isinstance(classes, str):
        raise ValueError(f'classes must be a list of names; got {classes!r}: '
                         f'write [{classes!r}]')
    if not classes:
        raise ValueError(f'{source} names no classes: set '
                         'metainfo=dict(classes=[…])')
    wrong = {}
    for name, module in class_heads(model):
        if module.num_classes != len(classes):
            path = '.'.join(['model', name.removeprefix('module.')])
            wrong[path.rstrip('.')] = (type(module).__name__,
                                       module.num_classes)
    if wrong:
        names = ', '.join(map(repr, classes[:20]))
        more = ', …' if len(classes) > 20 else ''
        heads = '\n'.join(f'  {path} ({kind}): num_classes={count}'
                          for path, (kind, count) in wrong.items())
        raise ValueError(
            f'{source} has {len(classes)} classes: {names}{more}\n'
            f'but the model has\n{heads}\n'
            f'Correct the classes, or set num_classes={len(classes)} at these '
            'places in the config (without the last number where it describes '
            'one head for all stages)')
    for name, module in class_heads(model):
        _check_outputs(name.removeprefix('module.'), module)


def _check_outputs(name: str, head: nn.Module) -> None:
    """Raise unless a segmentation head has a channel for each class.

    Two classes may share one, which mmseg grants to any number of them.
    """
    channels = getattr(head, 'out_channels', None)
    shared = channels == 1 and head.num_classes == 2
    if hasattr(head,
               'conv_seg') and not (shared or channels == head.num_classes):
        raise ValueError(
            f'model.{name} ({type(head).__name__}) has out_channels='
            f'{channels} for num_classes={head.num_classes}: leave '
            'out_channels out. Only two classes can share 1 channel')


def check_stuff(model: nn.Module, dataset: Any) -> None:
    """Check that HTC's semantic branch has label maps of its classes.

    Args:
        model: A detector, wrapped or not. One without such a branch passes.
        dataset: The training set; what `CheckedCocoDataset` is not, passes.

    Raises:
        ValueError: The data set loads no label maps, or their number of
            classes is not the head's.
    """
    roi_head = getattr(getattr(model, 'module', model), 'roi_head', None)
    head = getattr(roi_head, 'semantic_head', None)
    if head is None or not hasattr(dataset, 'with_stuff'):
        return
    place = f'model.roi_head.semantic_head ({type(head).__name__})'
    if not dataset.with_stuff:
        raise ValueError(
            f'{place} learns from label maps, but the training set loads '
            'none: set data_prefix=dict(seg=…) there and with_seg=True in its '
            'LoadAnnotations, or leave the branch out with '
            'model.roi_head.semantic_head=None')
    if head.num_classes != dataset.num_stuff_classes:
        raise ValueError(
            f'{place} has num_classes={head.num_classes}, the label maps of '
            f'the training set num_stuff_classes={dataset.num_stuff_classes} '
            '(stuff and things together): set both to one number')


def _innermost(dataset: Any) -> Any:
    """The data set below wrappers such as RepeatDataset."""
    while True:
        if hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        elif hasattr(dataset, 'datasets'):
            dataset = dataset.datasets[0]
        else:
            return dataset


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Check before training, validation and test that labels fit.

    Heads must have as many classes as the data set; training and validation
    must name the same classes; a checkpoint that is resumed or tested must
    have been trained on them. A validation or test set whose classes were
    not given is numbered as the training was.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.trained: Optional[List[str]] = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Remember the names that a checkpoint was trained on.

        The runner then compares them with those of its data set, so data
        that may follow is numbered here.
        """
        self.trained = stored_classes(checkpoint)
        for name in ('_train_loop', '_val_loop', '_test_loop'):
            loop = getattr(runner, name, None)
            # Until it is needed, a loop is the dict that describes it.
            if hasattr(loop, 'dataloader'):
                self._follow(runner, loop)

    def before_train(self, runner) -> None:
        """Compare the heads, the training set and the validation set."""
        train = _innermost(runner.train_dataloader.dataset)
        classes = train.metainfo.get('classes')
        check_classes(runner.model, classes, 'the training set')
        check_stuff(runner.model, train)
        if self.trained and runner._resume:
            check_names(self.trained, classes, 'the training set')
        # From here on the model learns these.
        self.trained = list(classes)
        loop = runner.val_loop
        if loop is None:  # the loader's property fails then
            return
        val = _innermost(loop.dataloader.dataset)
        if hasattr(train, 'categories') and hasattr(val, 'categories'):
            from swin_dense.datasets.coco import check_splits
            check_splits(train, val)
            self._tell_labels(runner, loop)
        elif list(val.metainfo.get('classes') or ()) != list(classes):
            raise ValueError(
                'the training set has the classes '
                f'{list(classes)}, the validation set '
                f'{list(val.metainfo.get("classes") or ())}: set metainfo='
                'dict(classes=[…]) to the same list in both')
        check_classes(runner.model, val.metainfo.get('classes'),
                      'the validation set')

    def before_val(self, runner) -> None:
        """Compare the heads, the checkpoint and the validation set."""
        self._check_evaluation(runner, runner.val_loop, 'the validation set')

    def before_test(self, runner) -> None:
        """Compare the heads, the checkpoint and the test set."""
        self._check_evaluation(runner, runner.test_loop, 'the test set')

    def _check_evaluation(self, runner, loop, source: str) -> None:
        check_classes(
            runner.model,
            _innermost(loop.dataloader.dataset).metainfo.get('classes'),
            source)
        self._follow(runner, loop)
        if self.trained:
            classes = _innermost(loop.dataloader.dataset).metainfo['classes']
            check_names(self.trained, classes, source)

    def _follow(self, runner, loop) -> None:
        """Number a data set as the model was trained, if it may be."""
        # A wrapper keeps a copy of the names, so only bare data sets are.
        dataset = loop.dataloader.dataset
        if not self.trained or getattr(dataset, 'classes_given', True):
            return
        classes = list(dataset.metainfo['classes'])
        if classes != self.trained and sorted(classes) == sorted(self.trained):
            print_log(
                f'{dataset.ann_file} lists its categories as {classes}; they '
                f'are numbered as in the checkpoint: {self.trained}',
                'current')
            dataset.relabel(self.trained)
            self._tell_labels(runner, loop)

    @staticmethod
    def _tell_labels(runner, loop) -> None:
        """Pass the names of a loop's data set on to those who show them."""
        meta = _innermost(loop.dataloader.dataset).metainfo
        if hasattr(loop, 'evaluator'):
            loop.evaluator.dataset_meta = meta
        runner.visualizer.dataset_meta = meta
