"""Open a trained model of any task for prediction."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from os import PathLike
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
from swin_dense.engine import cli
from swin_dense.engine.cfg_options import apply_options
from swin_dense.engine.class_check_hook import check_classes
from swin_dense.engine.compile import compile_backbone
from swin_dense.engine.finite_scores import refuse_nonfinite_features
from swin_dense.engine.inputs import (
    ImageLike,
    check_channel_order,
    name_of,
    read_image_input,
)
from swin_dense.engine.launch import find_checkpoint, load_config
from swin_dense.engine.results import Result
from swin_dense.files import read_text


class BasePredictor:
    """A trained model, called with an image or video.

    The subclass of a task defines `predict_batch`, and may override
    `_find_classes`, `_open_data` and `_open_pipeline`.

    Args:
        config: A config, the path of its file, or the name of a config of
            this package.
        checkpoint: Path or address of the weights; every tensor must fit.
        cfg_options: Settings to replace in the config, by dotted name.
        device: A device such as 'cpu' or 'cuda:1'; by default the fastest
            that PyTorch finds.
        channel_order: Order of the channels of arrays that are given and
            returned: 'bgr', as OpenCV reads images, or 'rgb'. PIL images and
            tensors are RGB in any case.

    Attributes:
        classes: Class names in label order: the names that the checkpoint
            was trained on, else the names of the config's test set.
        model: The model in evaluation mode.

    Raises:
        FileNotFoundError: If the config does not exist.
        CheckpointError: If the checkpoint cannot be read or does not fit.
        ValueError: If checkpoint, config and heads disagree on the classes,
            neither checkpoint nor config names any, or the machine has no
            such device.
    """

    # Scope of the host, as in its registries.
    scope = ''

    def __init__(
        self,
        config: str | PathLike | Config,
        checkpoint: str | PathLike,
        cfg_options: Mapping[str, Any] | None = None,
        device: str | None = None,
        channel_order: str = 'bgr',
    ) -> None:
        check_channel_order(channel_order)
        cli.check_device(device, 'device ')
        self.channel_order = channel_order
        config = read_config(config, cfg_options)
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
        compiled = config.get('compile_backbone')
        compile_backbone(self.model, compiled)
        if not compiled:
            refuse_nonfinite_features(self.model)
        self._open_pipeline(dataset.pipeline)

    def __call__(self, inputs: Any, batch_size: int = 1) -> Any:
        """Predict for an image or video, or for a list of them.

        Args:
            inputs: An image: a path or address; an array (H, W, 3) or (H, W),
                uint8; a PIL image; or a tensor (3, H, W) in RGB, uint8 from 0
                to 255 or floating-point from 0 to 1. A video, for
                recognizers: a path or address, an array (T, H, W, 3), or a
                tensor (T, 3, H, W). Or a list or tuple of these.
            batch_size: Images per forward pass.

        Returns:
            The result, see `Result`; a list of results for a list.

        Raises:
            FileNotFoundError: If a file does not exist.
            TypeError: If an input is nothing of these.
            ValueError: If a file or address cannot be read, an array or
                tensor has another shape or other values, or `batch_size` is
                below 1.
        """
        if batch_size < 1:
            raise ValueError(f'batch_size must be 1 or more, got {batch_size}')
        if not isinstance(inputs, (list, tuple)):
            (result,) = self.predict_batch([inputs])
            return result
        results: list[Result] = []
        for start in range(0, len(inputs), batch_size):
            results += self.predict_batch(inputs[start : start + batch_size])
        return results

    def predict_batch(self, inputs: Sequence[Any]) -> list[Any]:
        """Predict for a batch; see `__call__`."""
        raise NotImplementedError

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
                "classes=['cat','dog'])\" with your names"
            )
        return classes

    def _open_pipeline(self, pipeline: Sequence[Any]) -> None:
        """Build the pipeline that prepares an input from the test set's."""
        self._pipeline = Compose(_array_pipeline(pipeline, self.scope))

    def _read(
        self, images: Sequence[ImageLike]
    ) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        """Read images; return their pixels, and what their results need.

        Args:
            images: See `read_image_input`.

        Returns:
            The pixels (H, W, 3) of each image in BGR, uint8; and for each the
            arguments of its result.
        """
        pixels = [read_image_input(x, self.channel_order) for x in images]
        arguments = [
            dict(
                image=image,
                classes=self.classes,
                path=name_of(source),
                channel_order=self.channel_order,
            )
            for image, source in zip(pixels, images)
        ]
        return pixels, arguments

    def _prepare(self, images: Sequence[np.ndarray]) -> list[dict]:
        """Put images (H, W, 3), BGR, uint8, through the test pipeline."""
        return [
            self._pipeline({'img': image, 'img_id': index})
            for index, image in enumerate(images)
        ]


def read_config(
    config: str | PathLike | Config, cfg_options: Mapping[str, Any] | None
) -> Config:
    """Return a config that may be changed, with settings replaced.

    Args:
        config: A config, which is copied, or the path or name of its file.
        cfg_options: Dotted names and values; see `apply_options`.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `config` is nothing of these.
        ValueError: See `load_config`.
    """
    if isinstance(config, Config):
        config = deepcopy(config)
        apply_options(config, cfg_options or {})
        return config
    if not isinstance(config, (str, PathLike)):
        raise TypeError(
            'config must be a name, a path or a Config, got a '
            f'{type(config).__name__}'
        )
    return load_config(str(config), cfg_options)


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
