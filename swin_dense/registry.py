"""Registries of scope `swin_dense`, children of mmengine's root registries.

If a config of any OpenMMLab host has `type='swin_dense.X'`, mmengine imports
this module, and the registry imports the module that defines X. So configs
need no `custom_imports`, and a host is imported only for types that build on
it: detection runs without mmsegmentation.
"""

from importlib import import_module
from typing import Any

from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_CONSTRUCTORS
from mmengine.registry import RUNNERS as ROOT_RUNNERS
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import VISBACKENDS as ROOT_VISBACKENDS
from mmengine.registry import Registry

SCOPE = 'swin_dense'


class _LazyRegistry(Registry):
    """A registry that imports the module of a type when it is looked up.

    Args:
        args: Arguments of mmengine's Registry.
        modules_by_type: Module below this package by name of the type.
        kwargs: Arguments of mmengine's Registry.
    """

    def __init__(
        self, *args: Any, modules_by_type: dict, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._modules_by_type = modules_by_type

    def get(self, key: str) -> Any | None:
        """Return the type registered as `key`, with or without its scope."""
        module = self._modules_by_type.get(key.removeprefix(f'{SCOPE}.'))
        if module is not None:
            import_module(f'{SCOPE}.{module}')
        return super().get(key)


def _child(
    name: str, root: Registry, *locations: str, **modules_by_type: str
) -> Registry:
    """Return a registry of this scope, the child of a root registry.

    Args:
        name: Name of the registry.
        root: Root registry of mmengine.
        locations: Modules to import at the first look-up of any type.
        modules_by_type: Module to import at a look-up, by name of the type.
    """
    return _LazyRegistry(
        name,
        parent=root,
        scope=SCOPE,
        locations=[f'{SCOPE}.{location}' for location in locations],
        modules_by_type=modules_by_type,
    )


MODELS = _child(
    'model',
    ROOT_MODELS,
    'backbones',
    GlobalAttentionFPN='detection.global_attention',
    HTCRoIHead='detection.htc',
    CompositeRCNN='detection.composite',
    DetTTAModel='detection.tta',
    BiFPN='detection.reppoints_v2.bifpn',
    LegacyGIoULoss='detection.reppoints_v2.losses',
    SeparateFocalLoss='detection.reppoints_v2.losses',
    RepPointsV2Head='detection.reppoints_v2.head',
    MaskRepPointsV2Head='detection.reppoints_v2.mask_head',
    SoftTeacher='detection.soft_teacher.model',
    SegTTAModel='segmentation.tta',
    ClipRecognizer='video.recognizer',
    ImagePreprocessor='pretraining.preprocessor',
    SwinEncoder='pretraining.encoder',
    SwinV2Encoder='pretraining.encoder',
)
DATASETS = _child(
    'dataset',
    ROOT_DATASETS,
    CheckedCocoDataset='detection.dataset',
    ShapesDataset='detection.shapes_dataset',
    SemiSupervisedDataset='detection.soft_teacher.dataset',
    CheckedSegDataset='segmentation.dataset',
    CheckedADE20KDataset='segmentation.dataset',
    ShapesSegDataset='segmentation.shapes_dataset',
    CheckedVideoDataset='video.dataset',
    MotionsDataset='video.motions_dataset',
    ImageFolderDataset='pretraining.image_folder',
    ShapesFolderDataset='pretraining.image_folder',
)
TRANSFORMS = _child(
    'transform',
    ROOT_TRANSFORMS,
    InstanceJitter='detection.instance_jitter',
    ColourChange='detection.soft_teacher.colour_change',
    VideoInit='video.decode_transforms',
    VideoDecode='video.decode_transforms',
    EvenCrops='video.augmentation',
    ClipRandAugment='video.augmentation',
    RandomResizedCrop='pretraining.transforms',
    HorizontalFlip='pretraining.transforms',
    PackImages='pretraining.transforms',
)
METRICS = _child(
    'metric',
    ROOT_METRICS,
    CheckedCocoMetric='detection.metric',
    CheckedIoUMetric='segmentation.metric',
    CheckedAccMetric='video.metric',
)
TASK_UTILS = _child(
    'task util',
    ROOT_TASK_UTILS,
    CenterPointAssigner='detection.reppoints_v2.assigners',
    CenterATSSAssigner='detection.reppoints_v2.assigners',
)
HOOKS = _child(
    'hook',
    ROOT_HOOKS,
    'engine.class_check_hook',
    AuxiliaryLossHook='engine.auxiliary_losses',
    MeanTeacher='detection.soft_teacher.mean_teacher',
    PseudoBoxHook='detection.soft_teacher.pseudo_box_hook',
    DeadTrainingHook='engine.dead_training',
    SafeLoggerHook='engine.early_checks',
    ExactResumeHook='engine.exact_resume',
    NonFiniteGuard='engine.nonfinite_guard',
)
VISBACKENDS = _child(
    'vis_backend', ROOT_VISBACKENDS, WandbBackend='engine.wandb_backend'
)
RUNNERS = _child('runner', ROOT_RUNNERS, 'engine.runner')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor',
    ROOT_CONSTRUCTORS,
    'engine.layer_decay',
    PretrainingConstructor='pretraining.parameter_groups',
)
