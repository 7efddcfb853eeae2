"""Stop a run whose classes, heads and data sets do not fit together."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from torch import nn

from swin_dense.checkpoints.class_names import (
    check_names,
    class_heads,
    reads_text,
    stored_classes,
)
from swin_dense.data.wrappers import (
    check_mixing,
    class_names_of,
    inner_datasets,
    number_labels,
    share_labels,
)
from swin_dense.registry import HOOKS
from swin_dense.wording import first_few


def check_classes(
    model: nn.Module,
    classes: Sequence[str] | None,
    source: str = 'the data set',
) -> None:
    """Check that every head has as many classes as there are names.

    Args:
        model: A detector or segmentor, wrapped or not.
        classes: Names in label order.
        source: Where the names come from, for the message.

    Raises:
        ValueError: If `classes` is missing, a string or empty; or if a head,
            named by its path in the model, has another number of classes or
            fewer channels.
    """
    if isinstance(classes, str):
        raise ValueError(
            f'classes must be a list of names; got {classes!r}: '
            f'write [{classes!r}]'
        )
    if not classes:
        raise ValueError(
            f'{source} names no classes: set metainfo=dict(classes=[...])'
        )
    wrong = {}
    for name, module in class_heads(model):
        if module.num_classes != len(classes):
            path = '.'.join(['model', name.removeprefix('module.')])
            wrong[path.rstrip('.')] = (
                type(module).__name__,
                module.num_classes,
            )
    if wrong:
        names = ', '.join(map(repr, classes[:20]))
        more = ', ...' if len(classes) > 20 else ''
        heads = '\n'.join(
            f'  {path} ({kind}): num_classes={count}'
            for path, (kind, count) in wrong.items()
        )
        raise ValueError(
            f'{source} has {len(classes)} classes: {names}{more}\n'
            f'but the model has\n{heads}\n'
            f'Correct the classes, or set num_classes={len(classes)} at these '
            'places in the config (without the last number where it describes '
            'one head for all stages)'
        )
    for name, module in class_heads(model):
        _check_outputs(name.removeprefix('module.'), module)


def _check_outputs(name: str, head: nn.Module) -> None:
    """Raise unless a segmentation head has a channel for each class.

    Two classes may share a channel; mmseg would accept any number.

    Raises:
        ValueError: If the number of channels does not fit.
    """
    channels = getattr(head, 'out_channels', None)
    shared = channels == 1 and head.num_classes == 2
    if hasattr(head, 'conv_seg') and not (
        shared or channels == head.num_classes
    ):
        raise ValueError(
            f'model.{name} ({type(head).__name__}) has out_channels='
            f'{channels} for num_classes={head.num_classes}: leave '
            'out_channels out. Only two classes can share 1 channel'
        )


def check_denoising(model: nn.Module, classes: Sequence[str]) -> None:
    """Raise if a model that reads text embeds too few classes.

    Grounding DINO has an embedding of every class of the training set.

    Raises:
        ValueError: If the training set has more classes.
    """
    generator = getattr(
        getattr(model, 'module', model), 'dn_query_generator', None
    )
    if not reads_text(model) or generator is None:
        return
    if generator.num_classes < len(classes):
        raise ValueError(
            f'the training set has {len(classes)} classes, and model.bbox_head'
            f' has num_classes={generator.num_classes}: set it to '
            f'{len(classes)} or more'
        )


def check_stuff(model: nn.Module, dataset: Any) -> None:
    """Check that HTC's semantic branch has label maps of its classes.

    Args:
        model: A detector, wrapped or not. A model without a semantic branch
            passes.
        dataset: The training set. Other types than `CheckedCocoDataset` pass.

    Raises:
        ValueError: If the data set loads no label maps, or the head has
            another number of classes than the label maps.
    """
    roi_head = getattr(getattr(model, 'module', model), 'roi_head', None)
    head = getattr(roi_head, 'semantic_head', None)
    if head is None or not hasattr(dataset, 'with_stuff'):
        return
    place = f'model.roi_head.semantic_head ({type(head).__name__})'
    if not dataset.with_stuff:
        raise ValueError(
            f'{place} learns from label maps, but the training set loads '
            'none: set data_prefix=dict(seg=...) there and with_seg=True in '
            'its LoadAnnotations, or leave the branch out with '
            'model.roi_head.semantic_head=None'
        )
    if head.num_classes != dataset.num_stuff_classes:
        raise ValueError(
            f'{place} has num_classes={head.num_classes}, the label maps of '
            f'the training set num_stuff_classes={dataset.num_stuff_classes} '
            '(stuff and things together): set both to one number'
        )


def _loops(runner: Any) -> list[Any]:
    """Return the loops that are built; the others are still dicts."""
    loops = (
        getattr(runner, name, None)
        for name in ('_train_loop', '_val_loop', '_test_loop')
    )
    return [loop for loop in loops if hasattr(loop, 'dataloader')]


def _check_truth(loop: Any) -> None:
    """Let the metrics of an evaluation read their ground truth.

    Raises:
        ValueError: If there is none, or it is spread over several files.
    """
    metrics = getattr(getattr(loop, 'evaluator', None), 'metrics', ())
    for metric in metrics:
        if not hasattr(metric, 'prepare'):
            continue
        files = {
            getattr(inner, 'ann_file', None)
            for inner in inner_datasets(loop.dataloader.dataset)
        }
        if len(files) > 1:
            raise ValueError(
                f'{type(metric).__name__} compares with one annotation file, '
                f'the data set has {len(files)}: {first_few(sorted(files))}. '
                'Evaluate one at a time, or merge the files'
            )
        metric.prepare()


def _limits(config: Any, path: str) -> Iterator[tuple[str, int]]:
    """Yield the settings that limit the detections of an image."""
    if not isinstance(config, Mapping):
        return
    for key, value in config.items():
        if key == 'max_per_img' and isinstance(value, int):
            yield f'{path}.{key}', value
        elif key != 'rpn':
            yield from _limits(value, f'{path}.{key}')


def note_crowded_images(model: nn.Module, dataset: Any) -> None:
    """Warn of images with more objects than the model returns."""
    config = getattr(getattr(model, 'module', model), 'test_cfg', None)
    limits = [*_limits(config, 'model.test_cfg')]
    if not limits:
        return
    name, limit = min(limits, key=lambda item: item[1])
    counts = {
        info['img_id']: sum(
            not instance.get('ignore_flag') for instance in info['instances']
        )
        for inner in inner_datasets(dataset)
        if hasattr(inner, 'categories')
        for info in map(inner.get_data_info, range(len(inner)))
    }
    crowded = [id_ for id_, count in counts.items() if count > limit]
    if crowded:
        print_log(
            f'{len(crowded)} images to be evaluated have more objects, up to '
            f'{max(counts.values())}, than the model returns detections per '
            f'image ({name}={limit}): the other objects count as missed. '
            f'Raise {name}. Image ids {first_few(crowded)}',
            'current',
            logging.WARNING,
        )


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Check before training, validation and test that labels fit.

    Heads must have as many classes as the data set; training and validation
    sets must name the same classes; a checkpoint that is resumed or tested
    must have been trained on these classes. A validation or test set whose
    config names no classes gets its labels in the order of the training.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.trained: list[str] | None = None

    def before_run(self, runner: Any) -> None:
        """Check the data sets of all loops, before anything is loaded."""
        for loop in _loops(runner):
            share_labels(loop.dataloader.dataset)
            if hasattr(loop, 'evaluator'):
                self._share_class_names(runner, loop)
                _check_truth(loop)
                note_crowded_images(runner.model, loop.dataloader.dataset)
            else:
                check_mixing(loop.dataloader.dataset)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Store the class names that a checkpoint was trained on.

        The runner then compares them with the names of its data set, so a
        data set without configured classes is renumbered here.
        """
        if not reads_text(runner.model):
            self.trained = stored_classes(checkpoint)
        for loop in _loops(runner):
            self._follow(runner, loop)

    def before_train(self, runner: Any) -> None:
        """Compare the heads, the training set and the validation set."""
        train = inner_datasets(runner.train_dataloader.dataset)[0]
        classes = train.metainfo.get('classes')
        check_classes(runner.model, classes, 'the training set')
        check_denoising(runner.model, classes)
        for inner in inner_datasets(runner.train_dataloader.dataset):
            check_stuff(runner.model, inner)
        if self.trained and runner._resume:
            check_names(self.trained, classes, 'the training set')
        # From here on the model is trained on these classes.
        self.trained = list(classes)
        loop = runner.val_loop
        if loop is None:  # the loader's property fails then
            return
        val = inner_datasets(loop.dataloader.dataset)[0]
        if hasattr(train, 'check_split') and hasattr(val, 'categories'):
            for inner in inner_datasets(loop.dataloader.dataset):
                train.check_split(inner)
            share_labels(loop.dataloader.dataset)
            self._share_class_names(runner, loop)
        elif list(val.metainfo.get('classes') or ()) != list(classes):
            raise ValueError(
                'the training set has the classes '
                f'{list(classes)}, the validation set '
                f'{list(val.metainfo.get("classes") or ())}: set metainfo='
                'dict(classes=[...]) to the same list in both'
            )
        check_classes(
            runner.model, val.metainfo.get('classes'), 'the validation set'
        )

    def before_val(self, runner: Any) -> None:
        """Compare the heads, the checkpoint and the validation set."""
        self._check_evaluation(runner, runner.val_loop, 'the validation set')

    def before_test(self, runner: Any) -> None:
        """Compare the heads, the checkpoint and the test set."""
        self._check_evaluation(runner, runner.test_loop, 'the test set')

    def _check_evaluation(self, runner: Any, loop: Any, source: str) -> None:
        dataset = loop.dataloader.dataset
        check_classes(runner.model, class_names_of(dataset), source)
        self._follow(runner, loop)
        if self.trained:
            check_names(self.trained, class_names_of(dataset) or (), source)

    def _follow(self, runner: Any, loop: Any) -> None:
        """Number the data sets of a loop as the model was trained.

        Data sets whose config names the classes keep their order.
        """
        dataset = loop.dataloader.dataset
        inner = inner_datasets(dataset)
        if not self.trained or any(
            getattr(part, 'classes_given', True) for part in inner
        ):
            return
        classes = list(class_names_of(dataset) or ())
        if classes != self.trained and sorted(classes) == sorted(self.trained):
            print_log(
                f'{inner[0].ann_file} lists its categories as {classes}; they '
                f'are numbered as in the checkpoint: {self.trained}',
                'current',
            )
            number_labels(dataset, self.trained)
            self._share_class_names(runner, loop)

    @staticmethod
    def _share_class_names(runner: Any, loop: Any) -> None:
        """Give evaluator and visualizer the class names of a loop's data."""
        meta = inner_datasets(loop.dataloader.dataset)[0].metainfo
        if hasattr(loop, 'evaluator'):
            loop.evaluator.dataset_meta = meta
        runner.visualizer.dataset_meta = meta
