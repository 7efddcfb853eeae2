"""Every row of the table in docs/bring_your_weights.md."""

import re
from pathlib import Path

import pytest
import torch

from swin_dense.backbones import (
    MiniSwin,
    SwinMLP,
    SwinMoE,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.checkpoints.backbone_settings import (
    backbone_settings,
    empty_backbone,
)
from swin_dense.checkpoints.layouts.export import TARGETS, export
from swin_dense.checkpoints.layouts.translate import (
    extract_state_dict,
    read_backbone,
)
from swin_dense.checkpoints.load import load_backbone
from swin_dense.registry import MODELS

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'bring_your_weights.md'
V1, V2, VIDEO = SwinTransformer, SwinTransformerV2, SwinTransformer3D
MLP, MINI, MOE = SwinMLP, MiniSwin, SwinMoE
SIZES = dict(embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 1, 2, 2))
REDUCTION = 'layers.2.downsample.reduction.weight'
WINDOWS = {
    V1: (7, 5),
    V2: (8, 6),
    VIDEO: ((8, 7, 7), (4, 5, 5)),
    MLP: (7, 7),
    MINI: (7, 5),
    MOE: (8, 6),
}


def table(first):
    """Return the rows of the table whose header starts with a cell."""
    lines = PAGE.read_text().splitlines()
    start = next(
        i for i, line in enumerate(lines) if line.startswith(f'| {first} |')
    )
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith('|'):
            break
        rows.append([cell.strip() for cell in line.strip('|').split('|')])
    return rows


ROWS = {row[0]: row[1:] for row in table('your file')}


def empty(*shape):
    return torch.zeros(*shape)


def with_head(native):
    """Replace the norms of outputs by the norm and head of a classifier."""
    channels = len(native['norm3.weight'])
    device = native['norm3.weight'].device
    weights = {k: v for k, v in native.items() if not k.startswith('norm')}
    for name in ('norm.weight', 'norm.bias', 'head.bias'):
        weights[name] = torch.ones(channels, device=device)
    weights['head.weight'] = torch.ones(channels, channels, device=device)
    return weights


def official(native):
    """Return a classifier with the buffers of the official code."""
    weights = with_head(native)
    for name in list(weights):
        if name.endswith('attn.qkv.weight') and native[name].ndim == 2:
            path = name.rpartition('.qkv.')[0]
            weights[f'{path}.relative_position_index'] = empty(0)
    weights['layers.0.blocks.1.attn_mask'] = empty(64, 49, 49)
    return dict(model=weights)


def dense(target, heads):
    """Return a function that wraps a backbone in a whole model."""

    def make(native):
        around = {
            'detector': [
                'neck.fpn_convs.0.conv.weight',
                'roi_head.bbox_head.fc_cls.weight',
            ],
            'segmentor': [
                'decode_head.conv_seg.weight',
                'auxiliary_head.conv_seg.bias',
            ],
            'recognizer': ['cls_head.fc_cls.weight'],
        }[heads]
        weights = export(native, target)
        weights = {f'backbone.{k}': v for k, v in weights.items()}
        weights.update({name: empty(3) for name in around})
        return dict(meta=dict(epoch=12), state_dict=weights)

    return make


def beside_an_encoder(*others):
    """Return a function that makes a self-supervised network."""

    def make(native):
        weights = with_head(native)
        weights = {
            f'encoder.{k}': v
            for k, v in weights.items()
            if not k.startswith('head.')
        }
        for other in others:
            if other == 'encoder_k':
                weights.update(
                    {
                        k.replace('encoder.', 'encoder_k.'): v
                        for k, v in weights.items()
                    }
                )
            else:
                weights[other] = empty(3)
        return dict(model=weights)

    return make


def renamed(target, wrapper=None):
    """Return a function that makes a classifier of a target."""

    def make(native):
        weights = export(with_head(native), target)
        return {wrapper: weights} if wrapper else weights

    return make


def video_classifier(native):
    """Return the names of torchvision, with the last output's norm."""
    weights = export(native, 'torchvision')
    return {**weights, 'head.weight': empty(4, 4), 'head.bias': empty(4)}


SIMMIM = beside_an_encoder('encoder.mask_token', 'decoder.0.weight')
FILES = {
    'Microsoft Swin classification': (V1, official),
    'Microsoft Swin V2 classification': (V2, official),
    'SimMIM, Swin, pre-trained': (V1, SIMMIM),
    'SimMIM, Swin V2, pre-trained': (V2, SIMMIM),
    'SimMIM, fine-tuned': (V1, official),
    'MoBY, pre-trained': (
        V1,
        beside_an_encoder('encoder_k', 'queue1', 'projector.linear.weight'),
    ),
    'feature distillation, pre-trained': (
        V2,
        beside_an_encoder('feature_model.norm.weight', 'decoder.0.weight'),
    ),
    'Microsoft detection': (V1, dense('official', 'detector')),
    'Microsoft segmentation': (V1, dense('official', 'segmentor')),
    'Microsoft video': (VIDEO, dense('official', 'recognizer')),
    'mmdet': (V1, dense('mmdet', 'detector')),
    'mmseg': (V1, dense('mmseg', 'segmentor')),
    'mmaction2': (VIDEO, dense('mmaction', 'recognizer')),
    'mmpretrain, Swin': (V1, renamed('mmpretrain', 'state_dict')),
    'mmpretrain, Swin V2': (V2, renamed('mmpretrain', 'state_dict')),
    'timm, Swin': (V1, renamed('timm')),
    'timm, Swin V2': (V2, renamed('timm')),
    'torchvision `swin_*`': (V1, renamed('torchvision')),
    'torchvision `swin_v2_*`': (V2, renamed('torchvision')),
    'torchvision `swin3d_*`': (VIDEO, video_classifier),
    'Hugging Face Swin': (V1, renamed('huggingface')),
    'Hugging Face Swinv2': (V2, renamed('huggingface')),
    'Microsoft Mini-Swin': (MINI, official),
    'Microsoft Swin-MLP': (MLP, official),
    'Microsoft Swin-MoE': (MOE, official),
}


def narrow(cls, window):
    arch = dict(SIZES, blocks=(1, 1, 1, 1)) if cls is MINI else SIZES
    sizes = SIZES if cls is V1 else dict(arch=arch)
    return cls(**sizes, window_size=window)


def native(cls):
    return {
        name: torch.randn_like(value)
        for name, value in narrow(cls, WINDOWS[cls][0]).state_dict().items()
    }


def test_every_row_has_a_file():
    assert list(FILES) == list(ROWS)


@pytest.mark.parametrize('name', FILES)
def test_row(name, tmp_path):
    cls, make = FILES[name]
    recognised, backbone, _, called, left_out = ROWS[name]
    weights = native(cls)
    path = tmp_path / 'checkpoint.pth'
    torch.save(make(weights), path)

    model = narrow(cls, WINDOWS[cls][1])
    report = load_backbone(model, path)
    assert backbone == f'`{cls.__name__}`'
    assert report.source_format == recognised
    stored = extract_state_dict(torch.load(path))
    assert called == f'`{read_backbone(stored).origin[REDUCTION]}`'
    examples = re.findall('`(.+?)`', left_out)
    assert examples and set(examples) <= set(report.dropped)

    custom = model.state_dict()
    assert set(report.missing) <= {n for n in custom if n.startswith('norm')}
    assert not report.unexpected
    for key in report.loaded:
        assert torch.equal(custom[key], weights[key]), key
    tables = [n for n in custom if n.endswith('relative_position_bias_table')]
    assert report.resized == tables
    if cls is V1:
        note = 'bias tables 13x13 -> 9x9 in 8 blocks, bicubic'
        assert note in report.summary()


@pytest.mark.parametrize(
    'name, arch',
    [(name, arch) for name in FILES for arch in ROWS[name][2].split(', ')],
)
def test_arch(name, arch):
    """Full-size models are recognised from shapes alone."""
    cls, make = FILES[name]
    settings = dict(
        type=f'swin_dense.{cls.__name__}',
        arch=arch,
        window_size=WINDOWS[cls][0],
        **dict(num_experts=8) if cls is MOE else {},
    )
    weights = empty_backbone(settings).state_dict()
    result = read_backbone(extract_state_dict(make(weights)))
    assert str(result.recognised) == ROWS[name][0]
    window = WINDOWS[cls][0]
    window = (window, window) if isinstance(window, int) else window
    assert backbone_settings(result.weights, window) == settings


def test_targets():
    """The second table lists the targets of conversions."""
    rows = {row[0].strip('`'): row[1:] for row in table('`--to`')}
    assert tuple(rows) == TARGETS
    members = {
        'Swin': V1,
        'Swin V2': V2,
        'Video Swin': VIDEO,
        'Mini-Swin': MINI,
        'Swin-MLP': MLP,
        'Swin-MoE': MOE,
    }
    for target, (_, known) in rows.items():
        for name, cls in members.items():
            weights = native(cls)
            if cls is not VIDEO and target not in ('mmdet', 'mmseg'):
                weights = with_head(weights)
            if known == 'all' or name in known.split(', '):
                assert export(weights, target)
            else:
                with pytest.raises(ValueError, match=f'{target} has no'):
                    export(weights, target)


def test_config_of_the_page(tmp_path):
    """The first example works, with fewer channels."""
    code = re.search(
        r'```python\nbackbone=(dict\(.+?\))\n```', PAGE.read_text(), re.DOTALL
    )[1]
    config = eval(code)
    path = tmp_path / config['init_cfg']['checkpoint']
    torch.save(official(native(V1)), path)
    config.update(SIZES, arch=None)
    config['init_cfg']['checkpoint'] = str(path)
    MODELS.build(config).init_weights()
