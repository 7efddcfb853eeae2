"""Checkpoints of a narrow Swin, as different sources publish them."""

import pickle
from pathlib import Path

import torch

from swin_dense.backbones import SwinTransformer

SIZES = dict(embed_dims=8, depths=(2, 2, 2, 1), num_heads=(1, 1, 2, 2))
CLASSES = ('circle', 'square', 'triangle')


def random_swin(window: int = 7, **kwargs) -> SwinTransformer:
    """Return a Swin V1 with random values in every parameter."""
    model = SwinTransformer(**{**SIZES, **kwargs}, window_size=window)
    for value in model.parameters():
        value.data.normal_()
    return model.eval()


def classifier_file(model: SwinTransformer) -> dict:
    """Return a checkpoint as of the official classification training."""
    weights = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith('norm')
    }
    side = model.layers[0].blocks[0].attn.window_size[0]
    for name in [n for n in weights if n.endswith('bias_table')]:
        index = name.replace('bias_table', 'index')
        weights[index] = torch.zeros(side**2, side**2, dtype=torch.int64)
    weights['layers.0.blocks.1.attn_mask'] = torch.zeros(64, side**2, side**2)
    channels = model.num_features[-1]
    weights['norm.weight'] = torch.randn(channels)
    weights['norm.bias'] = torch.randn(channels)
    weights['head.weight'] = torch.randn(10, channels)
    weights['head.bias'] = torch.randn(10)
    return dict(
        model=weights,
        optimizer=dict(state={0: dict(exp_avg=torch.zeros(4))}),
        epoch=299,
        max_accuracy=81.2,
    )


def detector_file(backbone: dict) -> dict:
    """Return the checkpoint of a detector with this backbone."""
    weights = {f'backbone.{name}': value for name, value in backbone.items()}
    weights['neck.lateral_convs.0.conv.weight'] = torch.randn(4, 8, 1, 1)
    weights['roi_head.bbox_head.fc_cls.weight'] = torch.randn(4, 8)
    weights['roi_head.bbox_head.fc_cls.bias'] = torch.randn(4)
    return dict(
        meta=dict(epoch=12, iter=90, dataset_meta=dict(classes=CLASSES)),
        state_dict=weights,
    )


class Payload:
    """An object that creates a file if a reader unpickles it."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def write_payload(path: Path) -> Path:
    """Write a file with a `Payload`; return the path it would create."""
    trace = path.with_name('trace')
    path.write_bytes(pickle.dumps(dict(state_dict=Payload(trace)), protocol=2))
    return trace
