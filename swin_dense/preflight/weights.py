"""Build the model with its weights, and compare its heads with the classes."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from mmengine.runner import set_random_seed
from torch import nn

from swin_dense.checkpoints.load import load_model
from swin_dense.data.wrappers import class_names_of, inner_datasets
from swin_dense.engine.class_check_hook import (
    check_classes,
    check_denoising,
    check_stuff,
    note_crowded_images,
)
from swin_dense.engine.load_reports import backbone_reports
from swin_dense.preflight.results import CheckFailedError, Finding
from swin_dense.wording import counted

# Sides of the noise that the backbone is run on: frames, height, width.
FRAMES, SIDE = 8, 96
LEAST_CONTRAST = 1e-3


def check(context: Any) -> Finding:
    """Build the model, load its weights, and compare the number of classes.

    Raises:
        CheckFailedError: If the features do not depend on the input.
        ValueError: If the weights or the number of classes do not fit.
    """
    config = context.config
    set_random_seed(0)
    model: Any = MODELS.build(config.model)
    model.init_weights()
    if context.settings('train'):
        dataset = context.dataset('train')
        classes = class_names_of(dataset)
        check_classes(model, classes, 'the training set')
        check_denoising(model, classes or ())
        for inner in inner_datasets(dataset):
            check_stuff(model, inner)
    else:
        classes = None
    if context.settings('val'):
        note_crowded_images(model, context.dataset('val'))
    reports = [report for _, report in backbone_reports(model)]
    if config.get('load_from'):
        other = 'copy' if config.get('copy_classes') else 'reinitialise'
        reports.append(
            load_model(
                model,
                config.load_from,
                classes=classes,
                other_classes=other,
                allow_nonfinite=config.get('allow_nonfinite', ()),
            )
        )
    size = sum(value.numel() for value in model.parameters()) / 1e6
    details = [str(report.summary()) for report in reports]
    found = contrast_on_noise(model.backbone, config.model.backbone)
    if found is not None and found < LEAST_CONTRAST:
        raise CheckFailedError(
            'loaded weights: the backbone gives equal features for different '
            f'inputs (relative difference {found:.1g})',
            details,
            contrast=found,
        )
    loaded = counted(len(reports), 'checkpoint')
    return Finding(
        f'{size:.1f} million parameters, {loaded} loaded',
        details,
        dict(parameters=size * 1e6, contrast=found),
    )


@torch.no_grad()
def contrast_on_noise(
    backbone: nn.Module, settings: Mapping[str, Any]
) -> float | None:
    """Return how much the features of two noisy inputs differ, relatively.

    None for backbones of other packages, whose inputs are unknown.
    """
    if not type(backbone).__module__.startswith('swin_dense.'):
        return None
    is_video = str(settings.get('type', '')).endswith('3D')
    shape = (FRAMES, SIDE, SIDE) if is_video else (SIDE, SIDE)
    channels = settings.get('in_channels', 3)
    backbone.eval()
    outputs: Any = backbone(torch.randn(2, channels, *shape))
    return contrast(outputs)


def contrast(outputs: Any) -> float:
    """Return how much the features of two inputs differ, relatively.

    Args:
        outputs: What a backbone returns for a batch of at least two.
    """
    features = outputs[-1] if isinstance(outputs, (list, tuple)) else outputs
    difference = (features[0] - features[1]).std()
    return float(difference / (features.std() + 1e-12))
