"""Compare a host's model with the same model with our backbone.

Both get the same random weights, through a checkpoint in the host's layout,
and predict on the same random input.
"""

import copy
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from swin_dense.checkpoints.load import load_model
from swin_dense.engine import cli
from swin_dense.engine.launch import load_config

CLASSES = ('cat', 'dog', 'person')


class Comparison(NamedTuple):
    """Differences between the outputs of two models.

    Attributes:
        parameters: Number of parameters of the model with our backbone.
        values: Number of floating point values in its outputs.
        difference: Largest difference from the host's values. It is divided
            by the largest value of the output if this exceeds 1, so boxes are
            in units of the image side.
        choices: Number of labels, and of pixels of masks or label maps.
        changed: Number of these that differ from the host's.
    """

    parameters: int
    values: int
    difference: float
    choices: int
    changed: int


def host_config(cfg: Config) -> Config:
    """Return a copy of a config with the host's backbone instead of ours."""
    cfg = Config(cfg.to_dict())
    backbone = cfg.model.backbone
    backbone.type = f'{cfg.default_scope}.{backbone.type.rpartition(".")[2]}'
    return cfg


def build(cfg: Config) -> nn.Module:
    """Build the model of a config for prediction on a CPU, without weights."""
    scope = cfg.default_scope
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(copy.deepcopy(cfg.model))  # hosts change it
    return revert_sync_batchnorm(model).eval()


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Set all parameters and statistics to full-rank random values.

    Outputs of matrices are about as large as their inputs, and norms are near
    one, so that no part of the model is dead or saturated.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            noise /= max(1, value[0].numel()) ** 0.5
        elif name.endswith(('weight', 'running_var')):
            noise = 1 + noise.clamp(-3, 3) / 10
        else:
            noise /= 10
        value.copy_(noise)


def make_batch(cfg: Config, size: int, seed: int = 0) -> dict[str, list]:
    """Return random input, two images or a clip, as the host's loader does.

    Args:
        cfg: Config whose default scope names the host.
        size: Height of the images in pixels. Images of detectors differ in
            size.
        seed: Seed of the pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    scope = cfg.default_scope
    shapes = dict(
        mmdet=[(3, size, size + 13), (3, size - 21, size)],
        mmseg=[(3, size, size + 13)] * 2,
        mmaction=[(1, 3, 7, size, size + 13)],
    )[scope]
    inputs = [
        torch.randint(256, shape, dtype=torch.uint8, generator=generator)
        for shape in shapes
    ]
    samples = []
    for x in inputs:
        meta = dict(
            img_shape=tuple(x.shape[-2:]),
            ori_shape=tuple(x.shape[-2:]),
            scale_factor=(1.0, 1.0),
        )
        if cfg.model.type == 'GLIP':
            meta.update(text=CLASSES, custom_entities=True)
        samples.append(_sample_type(scope)(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


def _sample_type(scope: str) -> type:
    if scope == 'mmdet':
        from mmdet.structures import DetDataSample as sample
    elif scope == 'mmseg':
        from mmseg.structures import SegDataSample as sample
    else:
        from mmaction.structures import ActionDataSample as sample
    return sample


def compare(cfg: Config, size: int = 128, seed: int = 0) -> Comparison:
    """Compare the predictions of a config's model with the host's.

    Args:
        cfg: A config with a backbone of this package.
        size: Height of the input in pixels.
        seed: Seed of weights and input.

    Raises:
        CheckpointError: If the host's file does not fit the model.
        ValueError: If the models do not put out the same parts, or as many
            instances.
    """
    host_model = build(host_config(cfg))
    randomise(host_model, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'host.pth')
        torch.save({'state_dict': host_model.state_dict()}, path)
        expected = _predict(host_model, make_batch(cfg, size, seed))
        del host_model
        model = build(cfg)
        load_model(model, path)
    return Comparison(
        sum(p.numel() for p in model.parameters()),
        *_differences(_predict(model, make_batch(cfg, size, seed)), expected),
    )


def _predict(model: nn.Module, batch: dict[str, list]) -> dict[str, Tensor]:
    """Return all predicted tensors of a model by their path in the output."""
    with torch.no_grad():
        samples = model.test_step(batch)
    return dict(_tensors([s.to_dict() for s in samples], 'images'))


def _tensors(node: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if hasattr(node, 'all_items'):
        node = dict(node.all_items())
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _tensors(value, f'{path}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _tensors(value, f'{path}.{index}')
    elif torch.is_tensor(node):
        yield path, node


def _differences(
    outputs: dict[str, Tensor], expected: dict[str, Tensor]
) -> tuple[int, float, int, int]:
    shapes = [
        {k: tuple(v.shape) for k, v in side.items()}
        for side in (outputs, expected)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f'the outputs differ in kind: {shapes[0]} here, '
            f'{shapes[1]} in the host'
        )
    values = choices = changed = 0
    difference = 0.0
    for name, value in outputs.items():
        if value.is_floating_point():
            values += value.numel()
            error = (value - expected[name]).abs().max()
            scale = expected[name].abs().max().clamp(min=1)
            difference = max(difference, float(error / scale))
        else:
            choices += value.numel()
            changed += int((value != expected[name]).sum())
    return values, difference, choices, changed


def run(args: Namespace) -> int:
    """Compare each config and print a row of a table for it."""
    print(
        '| config | parameters | outputs | largest difference | '
        'labels and pixels | changed |\n'
        '| --- | --: | --: | --: | --: | --: |'
    )
    for path in args.configs:
        done = compare(load_config(path, args.cfg_options), args.size)
        print(
            f'| {Path(path).stem} | {done.parameters / 1e6:.1f} M | '
            f'{done.values} | {done.difference:.1e} | {done.choices} | '
            f'{done.changed} |',
            flush=True,
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run."""
    parser = cli.make_parser(
        __doc__,
        'python projects/drop_in/compare.py '
        'projects/drop_in/configs/retinanet_swin_t_coco.py',
    )
    parser.add_argument('configs', nargs='+', help='config files')
    parser.add_argument(
        '--size', type=int, default=128, help='of the input, in pixels'
    )
    cli.add_config_arguments(parser)
    return cli.run(run, parser.parse_args(argv))


if __name__ == '__main__':
    sys.exit(main())
