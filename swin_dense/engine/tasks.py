"""The tasks of this package, and the task of a config."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# Keys of models that wrap the model with the heads: `module` of test-time
# augmentation, `detector` of mmdet's semi-supervised detectors.
_WRAPPED = ('module', 'detector')


@dataclass(frozen=True)
class Task:
    """Names and functions of a task for training, testing and predicting.

    Functions and classes are named by dotted paths and imported on use, so
    that a task needs no other task's host.

    Attributes:
        name: Name of the task and of its folder in this package.
        models: Plural noun for its models.
        scope: Scope of its host in mmengine's registries.
        unit: Plural noun for the items of a batch.
        heads: Keys of `cfg.model`; a model with one of them is of this task.
        predictor: Class that predicts with a config and a checkpoint.
        writer: Class that writes predictions.
        add_options: Function that adds the task's own options to the parser
            of `swin-dense predict` and returns them.
        predict_files: Function that predicts the files of that command line.
        own_data: Function that describes a user's data for a recipe's config.
        draw_sample: Function that draws a sample of a data set.
        preflight: Module with the task's part of `swin_dense.preflight`.
        draw_pair: Function that draws truth and prediction of a data sample;
            '' if there is none.
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
    own_data: str
    draw_sample: str
    preflight: str
    draw_pair: str = ''
    tta_model: str = ''
    tta_heads: tuple[str, ...] = ()
    tta_ratios: tuple[float, ...] = ()
    views: str = ''

    def load(self, field: str) -> Any:
        """Import the function or class whose dotted path is in a field."""
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
    draw_pair='swin_dense.detection.show_pair.draw_pair',
    own_data='swin_dense.detection.own_data.describe',
    draw_sample='swin_dense.detection.draw_samples.draw_sample',
    preflight='swin_dense.detection.preflight',
    tta_model='swin_dense.DetTTAModel',
    tta_heads=('roi_head', 'bbox_head'),
    # mmdet's default, since none were published for tests at 1333 x 800.
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
    draw_pair='swin_dense.segmentation.show_pair.draw_pair',
    tta_model='swin_dense.SegTTAModel',
    tta_heads=('decode_head',),
    own_data='swin_dense.segmentation.own_data.describe',
    draw_sample='swin_dense.segmentation.draw_samples.draw_sample',
    preflight='swin_dense.segmentation.preflight',
    # The scales of Swin V1 (appendix A2.3), each also flipped.
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
    own_data='swin_dense.video.own_data.describe',
    draw_sample='swin_dense.video.draw_samples.draw_sample',
    preflight='swin_dense.video.preflight',
)
TASKS = (SEGMENTATION, VIDEO, DETECTION)


def find_task(cfg: Mapping[str, Any]) -> Task | None:
    """Return the task of a config, or None if it is unknown.

    The heads of the model decide. If the model has none of the known heads,
    the default scope decides.
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
        ValueError: If neither the model's heads nor the default scope belong
            to a task of this package.
    """
    task = find_task(cfg)
    if task is None:
        model = (cfg.get('model') or {}).get('type', 'none')
        heads = '; '.join(
            f'{task.name}: {", ".join(task.heads)}' for task in TASKS
        )
        raise ValueError(
            f'the task of this config is unknown: its model ({model}) has '
            f'none of the known heads ({heads}), and its default_scope is '
            f'{cfg.get("default_scope")}. Set default_scope to one of '
            f'{", ".join(task.scope for task in TASKS)}'
        )
    return task
