"""Registries of scope `swin_dense`: children of mmengine's root registries.

A config of any OpenMMLab host that says `type='swin_dense.X'` makes mmengine
import this module, and then the `locations` of the registry it searches. No
`custom_imports` is needed, and the hosts are imported only by the locations
that build on them.
"""
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import RUNNERS as ROOT_RUNNERS
from mmengine.registry import Registry

__all__ = ['DATASETS', 'HOOKS', 'METRICS', 'MODELS', 'RUNNERS']

SCOPE = 'swin_dense'


def _child(name: str, root: Registry, *locations: str) -> Registry:
    """A registry of this scope below one of mmengine's roots."""
    return Registry(
        name,
        parent=root,
        scope=SCOPE,
        locations=[f'{SCOPE}.{location}' for location in locations])


MODELS = _child('model', ROOT_MODELS, 'backbones')
DATASETS = _child('dataset', ROOT_DATASETS, 'datasets.coco',
                  'datasets.shapes_dataset')
METRICS = _child('metric', ROOT_METRICS, 'engine.metrics')
HOOKS = _child('hook', ROOT_HOOKS, 'engine.hooks')
RUNNERS = _child('runner', ROOT_RUNNERS, 'engine.runner')
