"""Sources are recognised by names and shapes; others are refused."""

import pytest
import torch

from helpers.layouts import weights
from helpers.state_dicts import to_native
from swin_dense.checkpoints.layouts.export import export
from swin_dense.checkpoints.layouts.recognise import recognise
from swin_dense.checkpoints.layouts.translate import (
    EVERYTHING,
    extract_state_dict,
    read_backbone,
)

NORM_AND_HEAD = ['norm.weight', 'norm.bias', 'head.weight', 'head.bias']


def buffers(state_dict):
    return [
        name
        for name in state_dict
        if name.endswith(('_index', '_mask', '_coords_table'))
    ]


def plain(state_dict):
    gone = {*buffers(state_dict), *NORM_AND_HEAD}
    return {k: v for k, v in state_dict.items() if k not in gone}


V1_CLASSIFIER = weights('Swin-T', scale=16, classes=5, buffers=True)
V1 = plain(V1_CLASSIFIER)
V1_DENSE = weights('Swin-T', scale=16, norms=(0, 1, 2, 3))
V2_CLASSIFIER = weights('Swin V2-T', scale=16, classes=5, buffers=True)
V2 = plain(V2_CLASSIFIER)
MLP = weights('Swin-MLP-T/C24', scale=24, classes=5)
MOE = weights('Swin-MoE-S', scale=32, classes=5, buffers=True)
VIDEO = weights('Video Swin-T', scale=16, norms=(3,))


def under(prefix, state_dict, *others):
    """Put a state_dict under a prefix, with other names beside it."""
    return {
        **{f'{prefix}{name}': value for name, value in state_dict.items()},
        **{name: torch.ones(1) for name in others},
    }


def in_transformers_5(state_dict):
    """Return the names that transformers 5 gives to V1 in memory."""
    out = {}
    for name, value in state_dict.items():
        for old, new in (
            ('attention.self.query', 'attention.q_proj'),
            ('attention.self.key', 'attention.k_proj'),
            ('attention.self.value', 'attention.v_proj'),
            (
                'attention.self.relative_position_bias_table',
                'attention.relative_position_bias.relative_position_bias_table',
            ),
            ('attention.output.dense', 'attention.o_proj'),
            ('intermediate.dense', 'mlp.fc1'),
            ('output.dense', 'mlp.fc2'),
        ):
            name = name.replace(old, new)
        out[name] = value
    return out


def in_maskformer(state_dict):
    """Return the names of the backbone in MaskFormer."""
    out = {f'model.{k}': v for k, v in state_dict.items() if 'norms' not in k}
    for i in range(4):
        for leaf in ('weight', 'bias'):
            out[f'hidden_states_norms.{i}.{leaf}'] = state_dict[
                f'hidden_states_norms.stage{i + 1}.{leaf}'
            ]
    return out


CONTRASTIVE = [
    'projector.linear_hidden.1.weight',
    'projector_k.linear_out.weight',
    'predictor.linear_out.weight',
    'queue1',
    'queue2',
    'queue_ptr',
]
# For each source: its name in reports, a checkpoint, and the backbone.
SOURCES = {
    'Microsoft V1': ('Microsoft classifier', {'model': V1_CLASSIFIER}, V1),
    'Microsoft V2': ('Microsoft classifier', {'model': V2_CLASSIFIER}, V2),
    'Microsoft Swin-MLP': ('Microsoft classifier', {'model': MLP}, plain(MLP)),
    'Microsoft Swin-MoE': ('Microsoft classifier', {'model': MOE}, plain(MOE)),
    'Microsoft V1, headless': (
        'Microsoft classifier',
        under('', V1, 'norm.weight', 'norm.bias'),
        V1,
    ),
    'SimMIM': (
        'SimMIM pretraining',
        {
            'model': under(
                'encoder.',
                weights('Swin-T', scale=16, buffers=True),
                'encoder.mask_token',
                'encoder.norm.weight',
                'encoder.norm.bias',
                'decoder.0.weight',
            )
        },
        V1,
    ),
    'SimMIM V2': (
        'SimMIM pretraining',
        {
            'model': under(
                'encoder.', V2, 'encoder.mask_token', 'decoder.0.weight'
            )
        },
        V2,
    ),
    'SimMIM, fine-tuned': (
        'Microsoft classifier',
        {'model': V1_CLASSIFIER},
        V1,
    ),
    'MoBY': (
        'MoBY pretraining',
        {
            'model': {
                **under('encoder.', V1, 'encoder.norm.weight'),
                **under('encoder_k.', V1_CLASSIFIER),
                **under('', {}, *CONTRASTIVE),
            }
        },
        V1,
    ),
    'feature distillation': (
        'feature distillation pretraining',
        {
            'model': {
                **under(
                    'encoder.', V1, 'encoder.norm.weight', 'decoder.0.weight'
                ),
                **under('feature_model.', V1_CLASSIFIER),
            }
        },
        V1,
    ),
    'official detector': (
        'Microsoft detector',
        {
            'meta': {},
            'state_dict': under(
                'backbone.',
                V1_DENSE,
                'neck.lateral.weight',
                'rpn_head.bias',
                'roi_head.bbox_head.bias',
            ),
        },
        V1_DENSE,
    ),
    'official segmentor': (
        'Microsoft segmentor',
        {
            'state_dict': under(
                'backbone.',
                V1_DENSE,
                'decode_head.bias',
                'auxiliary_head.bias',
            )
        },
        V1_DENSE,
    ),
    'official video': (
        'Microsoft recognizer',
        {
            'state_dict': under(
                'backbone.', export(VIDEO, 'official'), 'cls_head.fc_cls.bias'
            )
        },
        VIDEO,
    ),
    'mmaction2': (
        'mmaction2 recognizer',
        {'state_dict': under('backbone.', VIDEO, 'cls_head.fc_cls.bias')},
        VIDEO,
    ),
    'mmdet': (
        'mmdet/mmseg detector',
        {
            'state_dict': under(
                'backbone.',
                export(V1_DENSE, 'mmdet'),
                'neck.bias',
                'encoder.layers.0.bias',
                'decoder.layers.0.bias',
                'bbox_head.bias',
            )
        },
        V1_DENSE,
    ),
    'mmseg': (
        'mmdet/mmseg segmentor',
        {
            'state_dict': under(
                'backbone.', export(V1_DENSE, 'mmseg'), 'decode_head.bias'
            )
        },
        V1_DENSE,
    ),
    'mmseg, pretrained': (
        'mmdet/mmseg classifier',
        {
            'state_dict': under(
                '', export(V1, 'mmseg'), 'norm.weight', 'norm.bias'
            )
        },
        V1,
    ),
    'mmpretrain': (
        'mmpretrain classifier',
        {'state_dict': export(V1_CLASSIFIER, 'mmpretrain')},
        V1,
    ),
    'mmpretrain V2': (
        'mmpretrain classifier',
        {'state_dict': export(V2_CLASSIFIER, 'mmpretrain')},
        V2,
    ),
    'mmpretrain SimMIM': (
        'mmpretrain pretraining',
        {
            'state_dict': under(
                'backbone.',
                export(V1, 'mmpretrain'),
                'backbone.mask_token',
                'neck.decoder.0.weight',
            )
        },
        V1,
    ),
    'timm': ('timm classifier', export(V1_CLASSIFIER, 'timm'), V1),
    'timm V2': ('timm classifier', export(V2_CLASSIFIER, 'timm'), V2),
    'torchvision': (
        'torchvision classifier',
        export(V1_CLASSIFIER, 'torchvision'),
        V1,
    ),
    'torchvision V2': (
        'torchvision classifier',
        under(
            '',
            export(V2_CLASSIFIER, 'torchvision'),
            'features.1.0.attn.relative_position_index',
            'features.1.0.attn.relative_coords_table',
        ),
        V2,
    ),
    'torchvision video': (
        'torchvision classifier',
        under('', export(VIDEO, 'torchvision'), 'head.weight', 'head.bias'),
        VIDEO,
    ),
    'Hugging Face': (
        'Hugging Face classifier',
        export(V1_CLASSIFIER, 'huggingface'),
        V1,
    ),
    'Hugging Face V2': (
        'Hugging Face classifier',
        export(V2_CLASSIFIER, 'huggingface'),
        V2,
    ),
    'Hugging Face, in memory': (
        'Hugging Face classifier',
        in_transformers_5(export(V1_CLASSIFIER, 'huggingface')),
        V1,
    ),
    'Hugging Face SwinModel': (
        'Hugging Face classifier',
        {
            name.partition('.')[2]: value
            for name, value in export(V1_CLASSIFIER, 'huggingface').items()
            if name.startswith('swin.')
        },
        V1,
    ),
    'Hugging Face SwinBackbone': (
        'Hugging Face backbone',
        under('', export(V1_DENSE, 'huggingface'), 'layernorm.weight'),
        V1_DENSE,
    ),
    'Hugging Face SwinBackbone, in memory': (
        'Hugging Face backbone',
        {
            name if name.startswith('hidden') else f'swin.{name}': value
            for name, value in in_transformers_5(
                export(V1_DENSE, 'huggingface')
            ).items()
        },
        V1_DENSE,
    ),
    'Hugging Face Mask2Former': (
        'Hugging Face detector',
        under(
            'model.pixel_level_module.encoder.',
            export(V1_DENSE, 'huggingface'),
            'model.pixel_level_module.decoder.level_embed',
            'class_predictor.weight',
        ),
        V1_DENSE,
    ),
    'Hugging Face MaskFormer': (
        'Hugging Face detector',
        under(
            'model.pixel_level_module.encoder.',
            in_maskformer(export(V1_DENSE, 'huggingface')),
            'class_predictor.weight',
        ),
        V1_DENSE,
    ),
    'Hugging Face SimMIM': (
        'Hugging Face pretraining',
        under(
            '',
            export(V1, 'huggingface'),
            'swin.embeddings.mask_token',
            'swin.layernorm.weight',
            'decoder.0.weight',
        ),
        V1,
    ),
}


@pytest.mark.parametrize('name', SOURCES)
def test_sources(name):
    reported, checkpoint, expected = SOURCES[name]
    state_dict = extract_state_dict(checkpoint)
    converted = read_backbone(state_dict)
    assert str(converted.recognised) == reported
    got = converted.weights
    assert sorted(got) == sorted(expected)
    for key, value in expected.items():
        assert torch.equal(got[key], value), key
    # Every tensor is kept, or listed as dropped.
    joined = sum('.qkv.' in key for key in got) if 'Hugging' in name else 0
    v2 = sum('q_bias' in key for key in got)
    extra = {'Hugging Face': 2 * joined, 'torchvision V2': -v2}
    count = len(got) + len(converted.dropped)
    for start, more in extra.items():
        count += more if name.startswith(start) else 0
    assert count == len(state_dict)
    assert set(converted.dropped) <= set(state_dict)


def test_tensors_that_a_rule_drops():
    assert read_backbone(V1_CLASSIFIER).dropped == [
        *buffers(V1_CLASSIFIER),
        *NORM_AND_HEAD,
    ]
    assert read_backbone(V1_CLASSIFIER, keep=EVERYTHING).dropped == []
    dropped = read_backbone(SOURCES['MoBY'][1]['model']).dropped
    assert [n for n in dropped if not n.startswith('encoder_k.')] == [
        'encoder.norm.weight',
        *CONTRASTIVE,
    ]
    assert read_backbone(SOURCES['Hugging Face SimMIM'][1]).dropped == [
        'swin.embeddings.mask_token',
        'swin.layernorm.weight',
        'decoder.0.weight',
    ]
    # The only norm of a video model is that of its output.
    video = read_backbone(SOURCES['official video'][1]['state_dict'])
    assert video.dropped == ['cls_head.fc_cls.bias']
    assert video.origin['norm3.weight'] == 'backbone.norm.weight'


def test_old_names_of_self_supervised_models():
    huge = weights('Swin V2-H', scale=32)
    old = {
        name.replace('cpb_mlp', 'rpe_mlp').replace('.norm3.', '.enorm.'): value
        for name, value in huge.items()
    }
    state_dict, name = to_native(under('encoder.', old, 'decoder.0.weight'))
    assert name == 'SimMIM pretraining'
    assert list(state_dict) == list(huge)


@pytest.mark.parametrize('prefix', ['model.', 'image_encoder.backbone.'])
def test_other_prefixes(prefix):
    source = recognise(under(prefix, V1_DENSE))
    assert (source.prefix, source.kind) == (prefix, 'backbone')
    state_dict, _ = to_native(under(prefix, export(V1_DENSE, 'mmdet')))
    assert list(state_dict) == list(V1_DENSE)


@pytest.mark.parametrize(
    'first, second',
    [
        ('student.backbone.', 'teacher.backbone.'),
        ('backbone.cb_modules.0.', 'backbone.cb_modules.1.'),
        ('backbone.', 'ema.backbone.'),
        ('encoder.', 'teacher.'),
    ],
)
def test_several_backbones(first, second):
    both = {**under(first, V1), **under(second, V1_DENSE)}
    with pytest.raises(ValueError) as error:
        to_native(both)
    assert str(error.value) == (
        'not a checkpoint with one Swin: it holds several, their names start '
        f"with '{first}', '{second}'. Name the one you want, in init_cfg as "
        f"prefix='{first}', on the command line as --prefix {first}"
    )
    assert list(read_backbone(both, prefix=second[:-1]).weights) == list(
        V1_DENSE
    )
    assert list(read_backbone(both, prefix=second).weights) == list(V1_DENSE)
    with pytest.raises(
        ValueError, match="Swin under 'neck.': it holds, their"
    ):
        read_backbone(both, prefix='neck.')


def test_averaged_weights_beside_the_model():
    # mmcv 1 kept them as buffers of other names, timm and others elsewhere.
    ema = {f'ema_backbone_{k.replace(".", "_")}': v for k, v in V1.items()}
    state_dict = under('backbone.', V1_DENSE, 'bbox_head.bias', *ema)
    converted = read_backbone(
        extract_state_dict({'state_dict': state_dict, 'ema': 0})
    )
    assert list(converted.weights) == list(V1_DENSE)
    assert converted.dropped == ['bbox_head.bias', *ema]
    checkpoint = {'model': V1_DENSE, 'model_ema': {'layers': torch.ones(1)}}
    assert extract_state_dict(checkpoint) == V1_DENSE
    averaged = under('module.', V1_DENSE, 'n_averaged')
    assert read_backbone(averaged).dropped == ['n_averaged']


def test_two_names_for_one_tensor():
    both = export(V1, 'huggingface')
    with pytest.raises(ValueError, match='both stand for layers.0.blocks.0.'):
        read_backbone({**both, **in_transformers_5(both)})


@pytest.mark.parametrize(
    'names',
    [
        ['layer1.0.conv1.weight', 'layer1.1.conv1.weight'],
        [
            'layers.0.blocks.0.norm1.weight',
            'layers.0.blocks.0.modulation.f.bias',
        ],
        ['layers.0.attentions.0.attn.in_proj_weight'],
        [
            'blocks.0.attn.qkv.weight',
            'blocks.0.attn.relative_position_bias_table',
        ],
    ],
)
def test_other_networks(names):
    with pytest.raises(ValueError) as error:
        recognise(under('', {}, *names))
    text = str(error.value)
    assert f'Its first names: {", ".join(names)}. Known are' in text
    names_of = 'Microsoft, MoBY, feature distillation, SimMIM, mmdet/mmseg, '
    assert names_of in text


def test_only_the_first_names_are_listed():
    with pytest.raises(ValueError) as error:
        to_native({f'layer1.{i}.weight': torch.ones(1) for i in range(9)})
    assert 'layer1.4' in str(error.value)
    assert 'layer1.5' not in str(error.value)
    with pytest.raises(ValueError, match='holds no tensors'):
        to_native({})
