"""Write the random weights of a config's model to a file."""

import torch
from mmengine.registry import MODELS, init_default_scope

from helpers.models import randomize
from swin_dense.engine.launch import load_config


def save_model(config, path, classes, **options):
    """Write random weights of a config's model; return the path as text.

    Args:
        config: Path of the config.
        path: The file to write.
        classes: Class names in label order.
        options: Settings of the config to replace, by dotted name.
    """
    torch.manual_seed(1)
    cfg = load_config(config, options)
    init_default_scope(cfg.default_scope)
    model = randomize(MODELS.build(cfg.model))
    torch.save(
        dict(
            meta=dict(dataset_meta=dict(classes=classes)),
            state_dict=model.state_dict(),
        ),
        path,
    )
    return str(path)
