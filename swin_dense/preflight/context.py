"""What the checks of a pre-flight share: config, task, data sets, model."""

from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from swin_dense.data.wrappers import (
    check_mixing,
    inner_datasets,
    share_labels,
)
from swin_dense.engine.tasks import Task, task_of

SPLITS = ('train', 'val', 'test')


class Context:
    """A config with its data sets, which are built once.

    Args:
        config: Config of a training.
        source: File or name of the config.
        cfg_options: Settings that were changed in it.
        out: Folder for pictures.
        debug: If True, errors are raised instead of reported.

    Attributes:
        task: Task of the config.
        samples: Samples to learn by heart; None before they are loaded.
    """

    def __init__(
        self,
        config: Config,
        source: str,
        cfg_options: dict[str, Any] | None,
        out: Path,
        debug: bool = False,
    ) -> None:
        self.config = config
        self.source, self.cfg_options = source, cfg_options
        self.out = out
        self.debug = debug
        self.task: Task = task_of(config)
        self.samples: Any = None
        self._built: dict[str, Any] = {}
        init_default_scope(config.default_scope)

    def settings(self, split: str) -> Any:
        """Return the settings of a split's data set; None without."""
        return (self.config.get(f'{split}_dataloader') or {}).get('dataset')

    def dataset(self, split: str) -> Any:
        """Return the data set of a split, with the labels of the training.

        Raises:
            ValueError: If the config has none, or its data cannot be used.
        """
        if split not in self._built:
            settings = self.settings(split)
            if not settings:
                raise ValueError(f'the config has no {split}_dataloader')
            dataset = DATASETS.build(settings)
            share_labels(dataset)
            if split == 'train':
                check_mixing(dataset)
            elif self.settings('train'):
                follow_classes(self.dataset('train'), dataset)
            self._built[split] = dataset
        return self._built[split]

    @property
    def specialist(self) -> Any:
        """Module with the task's part of the pre-flight."""
        return import_module(self.task.preflight)


def follow_classes(train: Any, other: Any) -> None:
    """Number another data set as the training set.

    Raises:
        ValueError: If the class names or their orders differ.
    """
    first = inner_datasets(train)[0]
    for inner in inner_datasets(other):
        if hasattr(first, 'check_split') and hasattr(inner, 'categories'):
            first.check_split(inner)
