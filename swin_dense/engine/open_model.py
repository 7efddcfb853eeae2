"""Open a trained model of any task by one function."""

import inspect
from collections.abc import Mapping
from os import PathLike
from typing import Any

from mmengine.config import Config

from swin_dense.engine.base_predictor import BasePredictor, read_config
from swin_dense.engine.tasks import task_of
from swin_dense.wording import suggest_name


def load(
    config: str | PathLike | Config,
    checkpoint: str | PathLike,
    device: str | None = None,
    *,
    channel_order: str = 'bgr',
    cfg_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Load a detector, segmentor or recognizer with its weights.

    Args:
        config: Name of a config of this package, path of a config file, or a
            `Config` of mmengine.
        checkpoint: Path or address of the weights; every tensor must fit.
        device: A device such as 'cpu' or 'cuda:1'; by default the fastest
            that PyTorch finds.
        channel_order: Order of the channels of arrays that are given and
            returned: 'bgr', as OpenCV reads images, or 'rgb'. PIL images and
            tensors are RGB in any case.
        cfg_options: Settings to replace in the config, by dotted name.
        options: Options of the task: `texts` of `DetectionPredictor`; `tile`
            and `overlap` of `SegmentationPredictor`; `stride`, `window` and
            `fps` of `VideoPredictor`.

    Returns:
        The model. Call it with an image or a video; see
        `BasePredictor.__call__`.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
        FileNotFoundError: If the config does not exist.
        TypeError: If an option is unknown.
        ValueError: If the task of the config is unknown, an option is out of
            range, or the machine has no such device.
    """
    config = read_config(config, cfg_options)
    task = task_of(config)
    predictor = task.load('predictor')
    names = [
        name
        for cls in (predictor, BasePredictor)
        for name, argument in inspect.signature(cls).parameters.items()
        if argument.kind is not argument.VAR_POSITIONAL
        and argument.kind is not argument.VAR_KEYWORD
    ]
    for name in options:
        if name not in names:
            raise TypeError(
                f'{task.models} have no option {name!r}; '
                f'{suggest_name(name, names)}'
            )
    return predictor(
        config,
        checkpoint,
        device=device,
        channel_order=channel_order,
        **options,
    )
