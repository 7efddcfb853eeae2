"""The tasks that a config can be of: the one place that knows them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# Models that wrap the one with the heads: test-time augmentation holds it as
# its module, mmdet's semi-supervised detectors as their detector.
_WRAPPED = ('module', 'detector')


@dataclass(frozen=True)
class Task:
    """What training, testing and predicting have to know of a task.

    Functions and classes are named by dotted paths and imported when they are
    asked for, so that a task needs no other task's host.

    Attributes:
        name: Name of the task and of its folder in this package.
        models: What its models are called, as a plural.
        scope: Scope of its host in mmengine's registries.
        unit: What a batch holds, as a plural.
        heads: Keys of `cfg.model`; a model with one of them is of this task.
        predictor: Class that predicts with a config and a checkpoint.
        writer: Class that writes predictions.
        add_options: Function that adds the task's own options to the parser
            of `tools/predict.py` and returns them.
        predict_files: Function that predicts the files of that command line.
        tta_model: Type that tests several views; '' if there is none.
        tta_heads: Keys of `cfg.model`; test-time augmentation needs one.
        tta_ratios: Scales tested by default, as factors of the test scale.
        views: Function that counts the views that a test pipeline makes of
            an item; '' if it makes one.
    """

    name: str
    models: str
    scope: str
    unit: str
    heads: tuple[str, ...]
    predictor: str
    writer: str
    add_options: str
    predict_files: str
    tta_model: str = ''
    tta_heads: tuple[str, ...] = ()
    tta_ratios: tuple[float, ...] = ()
    views: str = ''

    def load(self, field: str) -> Any:
        """Import what a field with a dotted path names."""
        module, _, name = getattr(self, field).rpartition('.')
        return getattr(import_module(module), name)


DETECTION = Task(
    name='detection',
    models='detectors',
    scope='mmdet',
    unit='images',
    heads=('roi_head', 'bbox_head', 'rpn_head', 'mask_head', 'panoptic_head'),
    predictor='swin_dense.detection.predictor.DetectionPredictor',
    writer='swin_dense.detection.write_predictions.CocoResults',
    add_options='swin_dense.detection.predict_files.add_options',
    predict_files='swin_dense.detection.predict_files.predict_files',
    tta_model='swin_dense.DetTTAModel',
    tta_heads=('roi_head', 'bbox_head'),
    # None were published for detectors tested at 1333 x 800: mmdet's default.
    tta_ratios=(0.5, 1.0, 1.5),
)
SEGMENTATION = Task(
    name='segmentation',
    models='segmentors',
    scope='mmseg',
    unit='images',
    heads=('decode_head',),
    predictor='swin_dense.segmentation.predictor.SegmentationPredictor',
    writer='swin_dense.segmentation.write_predictions.LabelResults',
    add_options='swin_dense.segmentation.predict_files.add_options',
    predict_files='swin_dense.segmentation.predict_files.predict_files',
    tta_model='swin_dense.SegTTAModel',
    tta_heads=('decode_head',),
    # Those of the tables of Swin V1, appendix A2.3, each also flipped.
    tta_ratios=(0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
)
VIDEO = Task(
    name='video',
    models='recognizers',
    scope='mmaction',
    unit='clips',
    heads=('cls_head',),
    predictor='swin_dense.video.predictor.VideoPredictor',
    writer='swin_dense.video.write_predictions.VideoResults',
    add_options='swin_dense.video.predict_files.add_options',
    predict_files='swin_dense.video.predict_files.predict_files',
    views='swin_dense.video.sampling.count_views',
)
TASKS = (SEGMENTATION, VIDEO, DETECTION)


def find_task(cfg: Mapping[str, Any]) -> Task | None:
    """Return the task of a config, or None if nothing tells it.

    The heads of the model decide; where it has none of those known, as a
    model of the user's may have, the default scope does.
    """
    model = cfg.get('model')
    while isinstance(model, Mapping):
        for task in TASKS:
            if any(head in model for head in task.heads):
                return task
        model = next((model[key] for key in _WRAPPED if key in model), None)
    scope = cfg.get('default_scope')
    return next((task for task in TASKS if task.scope == scope), None)


def task_of(cfg: Mapping[str, Any]) -> Task:
    """Return the task of a config.

    Raises:
        ValueError: If neither the model's heads nor the default scope is of
            a task known here.
    """
    task = find_task(cfg)
    if task is None:
        model = (cfg.get('model') or {}).get('type', 'none')
        heads = '; '.join(
            f'{task.name}: {", ".join(task.heads)}' for task in TASKS
        )
        raise ValueError(
            f'the task of this config is unknown: its model ({model}) has no '
            f'head of those known ({heads}), and its default_scope is '
            f'{cfg.get("default_scope")}. Set default_scope to one of '
            f'{", ".join(task.scope for task in TASKS)}'
        )
    return task
