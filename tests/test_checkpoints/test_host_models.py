"""Weights of other implementations give their outputs, in both directions."""

from importlib import import_module

import pytest
import torch
from torch.nn.functional import layer_norm

from helpers.models import randomize
from helpers.placeholders import partly
from helpers.reference import assert_close
from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.load import load_backbone

# Values are of order 5, so 1e-5 leaves a few units in the last place of
# float32 per layer.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
DEPTHS, HEADS, WIDTH = (2, 2, 2, 2), (1, 2, 4, 8), 16
SIZES = dict(embed_dims=WIDTH, depths=DEPTHS, num_heads=HEADS)
# Every map is a multiple of the window and larger, so that no package pads,
# and all shift windows.
IMAGE, WINDOW = 256, 4
BOTH = pytest.mark.parametrize('dtype', TOLERANCE)


def host(module):
    """Import a module of a host, or skip the test."""
    package = module.partition('.')[0]
    pytest.importorskip(package, reason=f'{package} is not installed')
    return import_module(module)


def mmdet():
    cls = host('mmdet.models.backbones.swin').SwinTransformer
    return cls(window_size=WINDOW, drop_path_rate=0.0, **SIZES)


def mmseg():
    cls = host('mmseg.models.backbones.swin').SwinTransformer
    return cls(window_size=WINDOW, drop_path_rate=0.0, **SIZES)


def mmpretrain():
    module = partly('mmpretrain.models.backbones.swin_transformer')
    return module.SwinTransformer(
        SIZES,
        IMAGE,
        window_size=WINDOW,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2, 3),
    )


def mmpretrain_v2():
    module = partly('mmpretrain.models.backbones.swin_transformer_v2')
    return module.SwinTransformerV2(
        dict(extra_norm_every_n_blocks=2, **SIZES),
        IMAGE,
        window_size=WINDOW,
        drop_path_rate=0.0,
        out_indices=(0, 1, 2, 3),
    )


def timm(version='', name='SwinTransformer'):
    module = partly(f'timm.models.swin_transformer{version}')
    return WithoutNorms(
        getattr(module, name)(
            img_size=IMAGE,
            embed_dim=WIDTH,
            depths=DEPTHS,
            num_heads=HEADS,
            window_size=WINDOW,
            drop_path_rate=0.0,
            num_classes=3,
        )
    )


def timm_v2():
    return timm('_v2', 'SwinTransformerV2')


def transformers(name='SwinBackbone', config='SwinConfig'):
    module = host('transformers')
    # The eager code of V1 computes its softmax in float32.
    attention = 'sdpa' if config == 'SwinConfig' else 'eager'
    return getattr(module, name)(
        getattr(module, config)(
            image_size=IMAGE,
            embed_dim=WIDTH,
            depths=list(DEPTHS),
            num_heads=list(HEADS),
            window_size=WINDOW,
            drop_path_rate=0.0,
            num_labels=3,
            out_features=[f'stage{i}' for i in (1, 2, 3, 4)],
            attn_implementation=attention,
        )
    )


def transformers_v2():
    return WithoutNorms(transformers('Swinv2Backbone', 'Swinv2Config'))


class WithoutNorms(torch.nn.Module):
    """A model without norms of its outputs, and such norms.

    Ours start with weight 1 and bias 0.
    """

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        if hasattr(self.model, 'forward_intermediates'):
            maps = self.model.forward_intermediates(x, intermediates_only=True)
        else:
            maps = self.model(x).feature_maps
        maps = [m.permute(0, 2, 3, 1) for m in maps]
        return [layer_norm(m, m.shape[-1:]).permute(0, 3, 1, 2) for m in maps]


def parts(model):
    """Return the module whose state_dict is published."""
    return model.model if isinstance(model, WithoutNorms) else model


def outputs(model, x):
    with torch.no_grad():
        maps = model(x)
    return getattr(maps, 'feature_maps', maps)


V1 = dict(
    mmdet=mmdet,
    mmseg=mmseg,
    mmpretrain=mmpretrain,
    timm=timm,
    huggingface=transformers,
)
V2 = dict(mmpretrain=mmpretrain_v2, timm=timm_v2, huggingface=transformers_v2)
MODELS = [('v1', target) for target in V1] + [('v2', target) for target in V2]


def make_pair(family, target, dtype):
    """Build our model, and the host's with random weights."""
    reference = (V1 if family == 'v1' else V2)[target]().to(dtype)
    reference.eval()  # some return None
    arguments = dict(window_size=WINDOW, drop_path_rate=0.0)
    if family == 'v1':
        return SwinTransformer(**SIZES, **arguments).to(
            dtype
        ).eval(), reference
    extra = 2 if target == 'mmpretrain' else 0
    arch = dict(extra_norm_every_n_blocks=extra, **SIZES)
    return SwinTransformerV2(arch, **arguments).to(dtype).eval(), reference


def compare(model, reference, dtype):
    x = torch.randn(2, 3, IMAGE, IMAGE, dtype=dtype)
    expected = outputs(reference, x)
    assert len(expected) == 4
    for actual, other in zip(outputs(model, x), expected):
        assert other.abs().max() > 1
        assert_close(actual, other, TOLERANCE[dtype])


@BOTH
@pytest.mark.parametrize('family, target', MODELS)
def test_their_weights(family, target, dtype):
    model, reference = make_pair(family, target, dtype)
    randomize(reference)
    report = load_backbone(model, parts(reference).state_dict())
    assert not report.resized + report.unexpected
    fresh = {
        f'norm{i}.{leaf}' for i in range(4) for leaf in ('weight', 'bias')
    }
    lacking = isinstance(reference, WithoutNorms)
    assert set(report.missing) == (fresh if lacking else set())
    compare(model, reference, dtype)


@pytest.mark.parametrize('family, target', MODELS)
def test_our_weights(family, target, tmp_path):
    model, reference = make_pair(family, target, torch.float64)
    randomize(model)
    native = model.state_dict()
    if isinstance(reference, WithoutNorms):
        for i in range(4):
            norm = getattr(model, f'norm{i}')
            norm.reset_parameters()
            for leaf in ('weight', 'bias'):
                del native[f'norm{i}.{leaf}']
    exported = export(native, target)
    if target == 'huggingface':
        loaded = from_files(parts(reference), exported, tmp_path)
        reference = WithoutNorms(loaded) if family == 'v2' else loaded
    else:
        missing, unexpected = parts(reference).load_state_dict(
            exported, strict=False
        )
        assert not unexpected
        # The norm and head of a classifier, and recomputed buffers.
        assert all(
            name.startswith(('norm.', 'head.')) or 'relative' in name
            for name in missing
        )
    compare(model, reference, torch.float64)


def from_files(model, state_dict, folder):
    """Load a state_dict under the names of published files."""
    safetensors = pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    )
    model.config.save_pretrained(folder)
    safetensors.save_file(
        state_dict, folder / 'model.safetensors', metadata=dict(format='pt')
    )
    loaded, info = type(model).from_pretrained(
        folder,
        output_loading_info=True,
        attn_implementation=model.config._attn_implementation,
        dtype=torch.float64,
    )
    assert not info['unexpected_keys'] and not info['mismatched_keys']
    assert all('layernorm' in name for name in info['missing_keys'])
    return loaded.eval()


@pytest.mark.parametrize(
    'name',
    [
        'SwinForImageClassification',
        'SwinModel',
        'SwinBackbone',
        'SwinForMaskedImageModeling',
    ],
)
def test_names_of_published_files_and_of_modules(name, tmp_path):
    load_file = pytest.importorskip(
        'safetensors.torch', reason='safetensors is not installed'
    ).load_file
    reference = randomize(transformers(name))
    reference.save_pretrained(tmp_path)
    published = load_file(tmp_path / 'model.safetensors')
    models = [SwinTransformer(window_size=WINDOW, **SIZES) for _ in range(2)]
    for model, weights in zip(models, (reference.state_dict(), published)):
        load_backbone(model, weights)
    first, second = (model.state_dict() for model in models)
    assert any('self.query' in each for each in published)
    for each, value in first.items():
        assert torch.equal(second[each], value), each


@BOTH
def test_video(dtype):
    module = host('mmaction.models.backbones.swin')
    arguments = dict(
        patch_size=(2, 4, 4), window_size=(2, 2, 2), drop_path_rate=0.0
    )
    reference = module.SwinTransformer3D(
        SIZES, out_indices=(0, 1, 2, 3), **arguments
    ).to(dtype)
    randomize(reference).eval()
    model = (
        SwinTransformer3D(SIZES, out_indices=(0, 1, 2, 3), **arguments)
        .to(dtype)
        .eval()
    )
    report = load_backbone(model, reference.state_dict())
    assert report.source_format == 'mmaction2 backbone'
    assert not report.resized + report.unexpected + report.missing
    x = torch.randn(1, 3, 8, 128, 128, dtype=dtype)
    for actual, other in zip(outputs(model, x), outputs(reference, x)):
        assert_close(actual, other, TOLERANCE[dtype])
    exported = export(model.state_dict(), 'mmaction')
    missing, unexpected = reference.load_state_dict(exported, strict=False)
    assert not unexpected
    assert all('relative_position_index' in name for name in missing)
