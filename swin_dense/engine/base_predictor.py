"""Open a trained model of any task for prediction."""

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
    """A trained model that predicts on files or arrays.

    The subclass of a task defines how to predict, and may override
    `_find_classes`, `_open_data` and `_open_pipeline`.

    Args:
        config: A config, or the path of its file.
        checkpoint: Path or address of the weights; every tensor must fit.
        cfg_options: Settings to replace in a config given by its path.
        device: A device such as 'cpu' or 'cuda:1'; by default the fastest
            that PyTorch finds.

    Attributes:
        classes: Class names in label order: the names that the checkpoint
            was trained on, else the names of the config's test set.
        model: The model in evaluation mode.

    Raises:
        FileNotFoundError: If the config does not exist.
        CheckpointError: If the checkpoint cannot be read or does not fit.
        ValueError: If checkpoint, config and heads disagree on the classes,
            or neither checkpoint nor config names any.
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
        """Return the class names of checkpoint or config, None without any.

        Raises:
            ValueError: If the two name different classes.
        """
        return _agreed_classes(checkpoint, dataset)

    def _open_data(self, dataset: Any, classes: list[str] | None) -> list[str]:
        """Read the settings for prediction from the config of the test set.

        Args:
            dataset: The innermost data set config.
            classes: Class names of checkpoint or config, if any.

        Returns:
            The class names.

        Raises:
            ValueError: If there are no class names.
        """
        if not classes:
            raise ValueError(
                'neither the checkpoint nor the config names the classes; set '
                '--cfg-options "test_dataloader.dataset.metainfo=dict('
                'classes=[...])"'
            )
        return classes

    def _open_pipeline(self, pipeline: Sequence[Any]) -> None:
        """Build the pipeline that prepares an input from the test set's."""
        self._pipeline = Compose(_array_pipeline(pipeline, self.scope))

    def _prepare(self, images: Sequence[ImageLike]) -> list[dict]:
        """Put images through the test pipeline.

        Args:
            images: Paths, or arrays (H, W, 3), BGR, uint8.

        Raises:
            ValueError: If a file cannot be read as an image.
        """
        return [
            self._pipeline({'img': load_image(image), 'img_id': index})
            for index, image in enumerate(images)
        ]


def load_image(image: ImageLike) -> np.ndarray:
    """Return an image as an array; read it if it is a path."""
    return image if isinstance(image, np.ndarray) else read_image(image)


def _innermost(dataset: Any) -> Any:
    """Return the data set config inside wrappers such as RepeatDataset.

    Raises:
        ValueError: If no data set has a pipeline.
    """
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
    """Return the class names in a data set's config, None without any."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):  # a file with one name a line
        return read_text(classes).splitlines()
    return classes


def _agreed_classes(
    checkpoint: Mapping[str, Any], dataset: Any
) -> list[str] | None:
    """Return the class names of a checkpoint, else of a data set's config.

    Raises:
        ValueError: If both name classes, but not the same.
    """
    trained = stored_classes(checkpoint)
    configured = configured_classes(dataset)
    if trained and configured:
        check_names(trained, configured, 'the config')
    classes = trained or configured
    return list(classes) if classes else None


def _array_pipeline(pipeline: Sequence[Any], scope: str) -> list[Any]:
    """Return a test pipeline that starts from pixels, without annotations."""
    kept = [step for step in pipeline if 'LoadAnnotations' not in step['type']]
    if kept and kept[0]['type'].endswith('LoadImageFromFile'):
        kept[0] = {'type': f'{scope}.LoadImageFromNDArray'}
    return kept
