"""mmpretrain's own Swin configs work with our type of backbone."""

import copy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from helpers.placeholders import partly
from swin_dense.backbones import SwinTransformer, SwinTransformerV2
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.load import load_model

TOLERANCE = 1e-5
FOLDERS = (
    'swin_transformer',
    'swin_transformer_v2',
    'simmim/benchmarks',
    'glip',
)
# These two configs of the host use a variable that their base lacks.
BROKEN = {
    'swinv2-base-w12_8xb128_in21k-192px',
    'swinv2-large-w12_8xb128_in21k-192px',
}
QUICK = (
    'swin-tiny_16xb64_in1k',
    'swin-large_16xb64_in1k-384px',
    'swin-base-w6_8xb256-coslr-100e_in1k-192px',
    'swinv2-tiny-w16_16xb64_in1k-256px',
)


def configs():
    """Return the installed configs that name a Swin Transformer."""
    spec = find_spec('mmpretrain')
    if spec is None:
        return []
    root = Path(spec.origin).parent / '.mim' / 'configs'
    paths = [
        p
        for folder in FOLDERS
        for p in sorted((root / folder).glob('*'))
        if p.suffix == '.py' and (folder == 'glip' or 'swin' in p.name)
    ]
    return [p for p in paths if p.stem not in BROKEN]


def narrow(path):
    """Return the model of a config, with narrow stages."""
    model = Config.fromfile(path).model
    if model.type != 'ImageClassifier':  # a backbone and its wrapper
        model = Config(dict(type='ImageClassifier', backbone=model.backbone))
    backbone = model.backbone
    arch = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 1, 2, 2])
    if backbone.type == 'SwinTransformerV2':
        arch['extra_norm_every_n_blocks'] = 0
    backbone.update(arch=arch, init_cfg=None)
    if model.get('head'):
        model.head.update(in_channels=64, num_classes=5)
    model.pop('train_cfg', None)
    return model


def build(model):
    registry = partly('mmpretrain.registry').MODELS
    partly('mmpretrain.models')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return registry.build(copy.deepcopy(model)).eval()


def fill(model):
    for name, value in model.state_dict().items():
        if value.is_floating_point() and 'coords_table' not in name:
            noise = torch.randn_like(value)
            if value.ndim > 1:
                value.copy_(noise / max(1, value[0].numel()) ** 0.5)
            else:
                value.copy_(name.endswith('weight') + noise / 10)


def check(path, tmp_path):
    """Load the host's checkpoint and compare outputs at odd sizes."""
    config = narrow(path)
    host = build(config)
    fill(host)
    config.backbone.type = f'swin_dense.{config.backbone.type}'
    model = build(config)
    torch.save({'state_dict': host.state_dict()}, tmp_path / 'host.pth')
    report = load_model(model, tmp_path / 'host.pth')
    assert len(report.loaded) == len(model.state_dict())
    windows = [max(stage.window_size) for stage in model.backbone.layers]
    least = max(4 * 2**i * window for i, window in enumerate(windows))
    # The map of the last stage is as large as a window on one axis.
    for size in (
        (least + 1, least + 1),
        (least, least + 71),
        (least + 33, least),
    ):
        x = torch.randn(1, 3, *size)
        with torch.no_grad():
            expected, outputs = host.backbone(x), model.backbone(x)
        assert len(outputs) == len(expected)
        for output, value in zip(outputs, expected):
            torch.testing.assert_close(
                output, value, rtol=TOLERANCE, atol=TOLERANCE
            )


@pytest.mark.parametrize('name', QUICK)
def test_config(name, tmp_path):
    paths = {path.stem: path for path in configs()}
    if not paths:
        pytest.skip('mmpretrain is not installed')
    check(paths[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('path', configs(), ids=lambda path: path.stem)
def test_every_config(path, tmp_path):
    check(path, tmp_path)


def test_all_configs_are_found():
    if find_spec('mmpretrain') is None:
        pytest.skip('mmpretrain is not installed')
    assert len(configs()) == 22


def test_v1_freezes_as_its_host_does():
    arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
    model = SwinTransformer(
        arch=arch, img_size=64, frozen_stages=1, out_indices=(1, 3)
    )
    frozen = {
        name.split('.')[0] + name.split('.')[1]
        if 'layers' in name
        else name.split('.')[0]
        for name, p in model.named_parameters()
        if not p.requires_grad
    }
    assert frozen == {'patch_embed', 'layers0', 'layers1', 'norm1'}


def test_v1_puts_out_maps_after_merging():
    arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
    model = SwinTransformer(
        arch=arch, out_after_downsample=True, out_indices=(0, 1, 2, 3)
    )
    outputs = model(torch.randn(1, 3, 64, 96))
    assert [tuple(out.shape[1:]) for out in outputs] == [
        (16, 8, 12), (32, 4, 6), (64, 2, 3), (64, 2, 3)]  # fmt: skip


def test_missing_norms_are_named(tmp_path):
    """The checkpoint has the last output only, the model has all."""
    arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
    model = torch.nn.Module()
    model.backbone = SwinTransformerV2(arch=arch, out_indices=(3,))
    torch.save(model.state_dict(), tmp_path / 'last.pth')
    model.backbone = SwinTransformerV2(arch=arch)
    with pytest.raises(CheckpointError) as error:
        load_model(model, tmp_path / 'last.pth')
    message = str(error.value)
    assert (
        'Only norms of outputs are missing: the file has those of 3, the '
        'model of 0, 1, 2, 3. Set backbone.out_indices'
    ) in message
    assert 'backbone only' not in message
