"""Every published model is exported to each source and read back."""

import pytest
import torch

from helpers.layouts import PUBLISHED, weights
from helpers.state_dicts import assert_same, to_native
from swin_dense.checkpoints.convert import convert_checkpoint
from swin_dense.checkpoints.layouts import known
from swin_dense.checkpoints.layouts.export import (
    TARGETS,
    export,
    unsupported_names,
)
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.recognise import recognise
from swin_dense.checkpoints.layouts.source import Source
from swin_dense.checkpoints.layouts.translate import (
    CLASSIFIER,
    read_backbone,
)

HAS = {
    'official': ('v1', 'v2', 'video', 'mlp', 'moe'),
    'mmdet': ('v1',),
    'mmseg': ('v1',),
    'mmaction': ('video',),
    'mmpretrain': ('v1', 'v2'),
    'timm': ('v1', 'v2'),
    'torchvision': ('v1', 'v2', 'video'),
    'huggingface': ('v1', 'v2'),
}
REPORTED = dict(
    official='Microsoft',
    mmdet='mmdet/mmseg',
    mmseg='mmdet/mmseg',
    mmaction='mmaction2',
    mmpretrain='mmpretrain',
    timm='timm',
    torchvision='torchvision',
    huggingface='Hugging Face',
)
CLASSIFIERS = ('official', 'mmpretrain', 'timm', 'torchvision', 'huggingface')
DENSE = ('official', 'mmdet', 'mmseg', 'mmaction', 'mmpretrain', 'huggingface')
PAIRS = [
    (target, name)
    for target in TARGETS
    for name, model in PUBLISHED.items()
    if model.family in HAS[target]
    and not (
        model.extra_norm and target in ('timm', 'torchvision', 'huggingface')
    )
]


@pytest.mark.parametrize('target, name', PAIRS)
def test_there_and_back(target, name):
    kind = PUBLISHED[name].family
    last = (3,) if kind == 'video' and target != 'mmaction' else (0, 1, 2, 3)
    without = target == 'huggingface' and kind == 'v2'
    if (target in DENSE or kind == 'video') and not without:
        native = weights(name, norms=last)
        reference = export(native, target)
        back = read_backbone(reference)
        assert_same(back.weights, native)
        assert back.dropped == []
        assert_same(export(back.weights, target), reference)
        if target != 'mmpretrain' or kind == 'v2':
            assert back.recognised.source.name == REPORTED[target]
        assert back.recognised.kind == 'backbone'
    if target in CLASSIFIERS and kind != 'video':
        native = weights(name, classes=5)
        reference = export(native, target)
        back = read_backbone(reference, keep=CLASSIFIER)
        assert_same(back.weights, native)
        assert_same(export(back.weights, target), reference)
        assert str(back.recognised) == f'{REPORTED[target]} classifier'
        bare = read_backbone(reference)
        assert set(native) - set(bare.weights) == set(CLASSIFIER)
        assert len(bare.dropped) == len(CLASSIFIER)
    plain = weights(name, scale=16)
    reference = export(plain, target)
    assert_same(to_native(reference)[0], plain)
    if target in ('official', 'mmaction'):
        assert_same(reference, plain)


def test_video_classifier_of_torchvision():
    native = weights('Video Swin-T', norms=(3,))
    native['head.weight'] = torch.randn(5, len(native['norm3.weight']))
    reference = export(native, 'torchvision')
    assert str(recognise(reference)) == 'torchvision classifier'
    assert_same(read_backbone(reference, keep=CLASSIFIER).weights, native)


def test_absolute_embedding():
    native = weights('Swin-T', classes=5)
    native['absolute_pos_embed'] = torch.randn(1, 9, 12)
    for target in ('official', 'mmpretrain', 'huggingface'):
        back = read_backbone(export(native, target), keep=CLASSIFIER)
        assert_same(back.weights, native)
    assert unsupported_names(native, 'timm') == ['absolute_pos_embed']


BLOCK = 'layers.2.blocks.5.'
MERGING = 'layers.1.downsample.'
HF_BLOCK = 'swin.encoder.layers.2.blocks.5.'
HF2_BLOCK = 'swinv2.encoder.layers.2.blocks.5.'


@pytest.mark.parametrize(
    'target, name, pairs',
    [
        (
            'official',
            'Video Swin-T',
            [
                ('norm3.weight', 'norm.weight'),
                (f'{BLOCK}attn.qkv.bias', f'{BLOCK}attn.qkv.bias'),
            ],
        ),
        (
            'mmdet',
            'Swin-T',
            [
                ('patch_embed.proj.bias', 'patch_embed.projection.bias'),
                ('patch_embed.norm.bias', 'patch_embed.norm.bias'),
                (f'{BLOCK}norm1.bias', 'stages.2.blocks.5.norm1.bias'),
                (
                    f'{BLOCK}attn.relative_position_bias_table',
                    'stages.2.blocks.5.attn.w_msa.relative_position_bias_table',
                ),
                (
                    f'{BLOCK}attn.qkv.weight',
                    'stages.2.blocks.5.attn.w_msa.qkv.weight',
                ),
                (
                    f'{BLOCK}attn.proj.bias',
                    'stages.2.blocks.5.attn.w_msa.proj.bias',
                ),
                (
                    f'{BLOCK}mlp.fc1.bias',
                    'stages.2.blocks.5.ffn.layers.0.0.bias',
                ),
                (
                    f'{BLOCK}mlp.fc2.bias',
                    'stages.2.blocks.5.ffn.layers.1.bias',
                ),
                (f'{MERGING}norm.bias', 'stages.1.downsample.norm.bias'),
                ('norm3.weight', 'norm3.weight'),
            ],
        ),
        (
            'mmaction',
            'Video Swin-T',
            [
                ('norm3.weight', 'norm3.weight'),
                (f'{BLOCK}mlp.fc1.bias', f'{BLOCK}mlp.fc1.bias'),
            ],
        ),
        (
            'mmpretrain',
            'Swin-T',
            [
                ('head.weight', 'head.fc.weight'),
                ('norm.weight', 'backbone.norm3.weight'),
                (
                    f'{MERGING}norm.bias',
                    'backbone.stages.1.downsample.norm.bias',
                ),
            ],
        ),
        (
            'mmpretrain',
            'Swin V2-H',
            [
                (
                    f'{BLOCK}norm3.bias',
                    'backbone.stages.2.blocks.5.norm3.bias',
                ),
                (
                    f'{BLOCK}attn.q_bias',
                    'backbone.stages.2.blocks.5.attn.w_msa.q_bias',
                ),
                (
                    f'{BLOCK}attn.cpb_mlp.2.weight',
                    'backbone.stages.2.blocks.5.attn.w_msa.cpb_mlp.2.weight',
                ),
                (
                    f'{MERGING}norm.bias',
                    'backbone.stages.2.downsample.norm.bias',
                ),
            ],
        ),
        (
            'timm',
            'Swin V2-T',
            [
                ('head.weight', 'head.fc.weight'),
                ('norm.weight', 'norm.weight'),
                (
                    f'{MERGING}reduction.weight',
                    'layers.2.downsample.reduction.weight',
                ),
                (f'{BLOCK}attn.q_bias', f'{BLOCK}attn.q_bias'),
            ],
        ),
        (
            'torchvision',
            'Swin-T',
            [
                ('patch_embed.proj.bias', 'features.0.0.bias'),
                ('patch_embed.norm.bias', 'features.0.2.bias'),
                ('layers.0.blocks.1.norm1.bias', 'features.1.1.norm1.bias'),
                (f'{BLOCK}attn.qkv.bias', 'features.5.5.attn.qkv.bias'),
                (f'{BLOCK}mlp.fc1.bias', 'features.5.5.mlp.0.bias'),
                (f'{BLOCK}mlp.fc2.bias', 'features.5.5.mlp.3.bias'),
                ('layers.2.downsample.norm.bias', 'features.6.norm.bias'),
                ('norm.weight', 'norm.weight'),
                ('head.weight', 'head.weight'),
            ],
        ),
        (
            'torchvision',
            'Video Swin-T',
            [
                ('patch_embed.proj.bias', 'patch_embed.proj.bias'),
                ('layers.0.blocks.1.norm1.bias', 'features.0.1.norm1.bias'),
                (f'{BLOCK}mlp.fc2.bias', 'features.4.5.mlp.3.bias'),
                ('layers.0.downsample.norm.bias', 'features.1.norm.bias'),
                ('norm3.weight', 'norm.weight'),
            ],
        ),
        (
            'huggingface',
            'Swin-T',
            [
                (
                    'patch_embed.proj.bias',
                    'swin.embeddings.patch_embeddings.projection.bias',
                ),
                ('patch_embed.norm.bias', 'swin.embeddings.norm.bias'),
                (f'{BLOCK}norm1.bias', f'{HF_BLOCK}layernorm_before.bias'),
                (f'{BLOCK}norm2.bias', f'{HF_BLOCK}layernorm_after.bias'),
                (
                    f'{BLOCK}attn.relative_position_bias_table',
                    f'{HF_BLOCK}attention.self.relative_position_bias_table',
                ),
                (
                    f'{BLOCK}attn.proj.bias',
                    f'{HF_BLOCK}attention.output.dense.bias',
                ),
                (f'{BLOCK}mlp.fc1.bias', f'{HF_BLOCK}intermediate.dense.bias'),
                (f'{BLOCK}mlp.fc2.bias', f'{HF_BLOCK}output.dense.bias'),
                (
                    f'{MERGING}norm.bias',
                    'swin.encoder.layers.1.downsample.norm.bias',
                ),
                ('norm.weight', 'swin.layernorm.weight'),
                ('head.weight', 'classifier.weight'),
            ],
        ),
        (
            'huggingface',
            'Swin V2-T',
            [
                (
                    f'{BLOCK}attn.logit_scale',
                    f'{HF2_BLOCK}attention.self.logit_scale',
                ),
                (
                    f'{BLOCK}attn.cpb_mlp.0.bias',
                    f'{HF2_BLOCK}attention.self.continuous_position_bias_mlp.0.bias',
                ),
                (
                    f'{BLOCK}attn.q_bias',
                    f'{HF2_BLOCK}attention.self.query.bias',
                ),
                (
                    f'{BLOCK}attn.v_bias',
                    f'{HF2_BLOCK}attention.self.value.bias',
                ),
            ],
        ),
    ],
)
def test_names(target, name, pairs):
    video = PUBLISHED[name].family == 'video'
    dense = video or target not in CLASSIFIERS
    native = weights(name, norms=(3,)) if dense else weights(name, classes=5)
    reference = export(native, target)
    for model, expected in pairs:
        assert expected in reference, expected
        if 'downsample' not in model:  # mmdet reorders their values
            assert torch.equal(reference[expected], native[model])


def test_backbone_of_hugging_face():
    reference = export(weights('Swin-T', norms=(1, 3)), 'huggingface')
    assert [k for k in reference if k.startswith('hidden')] == [
        f'hidden_states_norms.stage{i}.{leaf}'
        for i in (2, 4)
        for leaf in ('weight', 'bias')
    ]
    assert 'embeddings.norm.weight' in reference
    assert not any(name.startswith('swin.') for name in reference)


def test_a_source_is_one_entry(monkeypatch):
    layout = Layout(
        block='tower.{}.{}.',
        merging='tower.{}.pool.',
        renames=(('patch_embed.', 'stem.'),),
        block_renames=(('attn.', 'msa.'),),
        unsupported='head\\.',
    )
    source = Source(
        'Tower',
        marker=r'tower\.\d+\.\d+\.msa\.relative_position_bias_table',
        layouts=dict(v1=layout),
        targets=('tower',),
        file_prefix='body.',
        wrapper='weights',
    )
    monkeypatch.setattr(known, 'KNOWN', (*known.KNOWN, source))
    native = weights('Swin-T', norms=range(4))
    named = export(native, 'tower')
    assert 'tower.2.5.msa.qkv.weight' in named and 'stem.norm.bias' in named
    body = {f'body.{name}': value for name, value in named.items()}
    file = read_backbone(body)
    assert str(file.recognised) == 'Tower backbone'
    assert_same(file.weights, native)
    converted = convert_checkpoint(dict(model=native), 'tower')
    assert_same(converted.checkpoint['weights'], body)
    with pytest.raises(ValueError, match='Known are the names of: .*Tower;'):
        recognise(dict(weight=torch.ones(1)))
