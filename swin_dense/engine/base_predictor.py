"""A trained model of either host, opened for prediction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from swin_dense.checkpoints.class_names import check_names, stored_classes
from swin_dense.checkpoints.files.read import TRAINING_STATE, read_checkpoint
from swin_dense.checkpoints.load import load_model
from swin_dense.data.image_files import read_image
from swin_dense.engine.class_check_hook import check_classes
from swin_dense.engine.compile import compile_backbone
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.files import read_text

ImageLike = str | Path | np.ndarray


class BasePredictor:
    """A trained model that takes files or arrays.

    A host's class says what it makes of them, as `__call__`, and may know
    more of the classes, by `_open_data`.

    Args:
        config: A config, or the path of its file.
        checkpoint: Path or address of the weights; every tensor must fit.
        cfg_options: Settings for a config given by its path.
        device: Such as 'cpu' or 'cuda:1'; by default the best there is.

    Attributes:
        classes: Names, in the order of the labels: those that the
            checkpoint was trained on, else those of the config's test set.
        model: The model in evaluation mode.

    Raises:
        FileNotFoundError: If the config does not exist.
        CheckpointError: If the checkpoint cannot be read or does not fit.
        ValueError: If checkpoint, config and heads disagree on the classes,
            or none of them names any.
    """

    # Scope of the host, as in its registries.
    scope = ''

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str,
        cfg_options: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        if not isinstance(config, Config):
            config = load_config(config, cfg_options)
        checkpoint = find_checkpoint(str(checkpoint))
        init_default_scope(config.get('default_scope', self.scope))
        model = revert_sync_batchnorm(MODELS.build(config.model))
        dataset = _innermost(config.test_dataloader.dataset)
        content = read_checkpoint(checkpoint, without=TRAINING_STATE)
        classes = self._find_classes(model, content, dataset)
        self.classes = self._open_data(dataset, classes)
        check_classes(model, self.classes, checkpoint)
        load_model(model, content, classes=self.classes, label=checkpoint)
        self.model = model.to(device or get_device()).eval()
        compile_backbone(self.model, config.get('compile_backbone'))
        self._open_pipeline(dataset.pipeline)

    def _find_classes(
        self, model: nn.Module, checkpoint: Mapping[str, Any], dataset: Any
    ) -> list[str] | None:
        """Return the names on which checkpoint and config agree, if any."""
        return _agreed_classes(checkpoint, dataset)

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """Learn from the test set's config what a prediction needs of it.

        Args:
            dataset: The innermost config.
            classes: Names that checkpoint or config give, if any.

        Returns:
            The names of the classes.
        """
        if not classes:
            raise ValueError(
                'neither the checkpoint nor the config names the classes; set '
                '--cfg-options "test_dataloader.dataset.metainfo=dict('
                'classes=[...])"'
            )
        return classes

    def _open_pipeline(self, pipeline: Sequence[Any]) -> None:
        """Build from the test set's pipeline what prepares an input."""
        self._pipeline = Compose(_array_pipeline(pipeline, self.scope))

    def _prepare(self, images: Sequence[ImageLike]) -> list[dict]:
        """Put images through the test pipeline.

        Args:
            images: Paths, or arrays (H, W, 3), BGR, uint8.

        Raises:
            ValueError: If a file is no readable image.
        """
        return [
            self._pipeline({'img': load_image(image), 'img_id': index})
            for index, image in enumerate(images)
        ]


def load_image(image: ImageLike) -> np.ndarray:
    """An image as an array, read if it is a path."""
    return image if isinstance(image, np.ndarray) else read_image(image)


def _innermost(dataset: Any) -> Any:
    """The data set config within wrappers such as RepeatDataset."""
    while 'pipeline' not in dataset:
        if 'dataset' in dataset:
            dataset = dataset['dataset']
        elif 'datasets' in dataset:
            dataset = dataset['datasets'][0]
        else:
            raise ValueError(
                'the test data set of the config has no pipeline, so how to '
                'prepare an image is unknown; set '
                'test_dataloader.dataset.pipeline'
            )
    return dataset


def configured_classes(dataset: Any) -> list[str] | None:
    """Return the names of the classes that a data set's config gives."""
    given = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(given, str):  # a file with one name a line
        return read_text(given).splitlines()
    return given


def _agreed_classes(
    checkpoint: Mapping[str, Any], dataset: Any
) -> list[str] | None:
    """The names of the labels, on which all who know them agree."""
    trained = stored_classes(checkpoint)
    given = configured_classes(dataset)
    if trained and given:
        check_names(trained, given, 'the config')
    classes = trained or given
    return list(classes) if classes else None


def _array_pipeline(pipeline: Sequence[Any], scope: str) -> list[Any]:
    """A test pipeline that starts from pixels and needs no annotations."""
    kept = [step for step in pipeline if 'LoadAnnotations' not in step['type']]
    if kept and kept[0]['type'].endswith('LoadImageFromFile'):
        kept[0] = {'type': f'{scope}.LoadImageFromNDArray'}
    return kept
