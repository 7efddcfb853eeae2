"""The known sources of checkpoints, one entry each.

An entry holds all that the package knows about a source: what marks its
checkpoints, how it names parameters, and how to export to it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swin_dense.checkpoints.layouts import tensors
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.source import Clues, Source
from swin_dense.checkpoints.native import is_output_norm

_MERGING = re.compile(r'layers\.(\d+)\.downsample\.')
# Native names of norms of outputs and of extra norms, and the mask token.
_DENSE_OR_HUGE = r'mask_token$|absolute_pos_embed$|norm\d+\.|.*\.norm3\.'

# ---------------------------------------------------------------- Microsoft

_NATIVE_MARKER = (
    r'layers\.\d+\.blocks\.\d+\.(?:attn\.(?:relative_position_bias_table|'
    r'logit_scale|(?:cpb|rpe)_mlp\.0\.weight)|spatial_mlp\.weight)'
)
_NATIVE = Layout(
    # The second names are those that SimMIM and feature distillation used at
    # first.
    block_renames=(
        ('attn.cpb_mlp.', 'attn.cpb_mlp.'),
        ('attn.cpb_mlp.', 'attn.rpe_mlp.'),
        ('norm3.', 'norm3.'),
        ('norm3.', 'enorm.'),
    ),
)
OFFICIAL = Source(
    'Microsoft',
    marker=_NATIVE_MARKER,
    layouts=dict(
        v1=_NATIVE,
        v2=_NATIVE,
        mini=_NATIVE,
        mlp=_NATIVE,
        moe=replace(_NATIVE, to_native_values=(tensors.complete_experts,)),
        # Nobody has published any: these are the names of this package.
        video_v2=_NATIVE,
        # The only norm of a video model is that of its last output.
        video=replace(
            _NATIVE, unsupported=r'norm\d+\.|head\.', final_norm=True
        ),
    ),
    targets=('official',),
    keeps_heads=True,
    wrapper='model',
)


def _is_moby(clues: Clues) -> bool:
    parts = {'encoder_k', 'projector', 'predictor', 'queue1'}
    return clues.prefix == 'encoder.' and bool(parts & clues.beside)


def _is_distillation(clues: Clues) -> bool:
    return clues.prefix == 'encoder.' and 'feature_model' in clues.beside


def _is_simmim(clues: Clues) -> bool:
    return clues.prefix == 'encoder.' and (
        'decoder' in clues.beside or 'mask_token' in clues.backbone
    )


SIMMIM = replace(
    OFFICIAL,
    name='SimMIM',
    is_marked=_is_simmim,
    is_pretraining=True,
    targets=(),
)
MOBY = replace(SIMMIM, name='MoBY', is_marked=_is_moby)
DISTILLATION = replace(
    SIMMIM, name='feature distillation', is_marked=_is_distillation
)

# ---------------------------------------------------------------- OpenMMLab

_MMDET_MARKER = r'stages\.\d+\.blocks\.\d+\.attn\.w_msa\..+'
_MMDET = Layout(
    block='stages.{}.blocks.{}.',
    merging='stages.{}.downsample.',
    renames=(('patch_embed.proj.', 'patch_embed.projection.'),),
    block_renames=(
        ('attn.', 'attn.w_msa.'),
        ('mlp.fc1.', 'ffn.layers.0.0.'),
        ('mlp.fc2.', 'ffn.layers.1.'),
    ),
    unsupported=r'mask_token$|norm\.|head\.',
    to_native_values=(tensors.from_unfold,),
    from_native_values=(tensors.to_unfold,),
)
MMDET = Source(
    'mmdet/mmseg',
    marker=_MMDET_MARKER,
    layouts=dict(v1=_MMDET),
    targets=('mmdet', 'mmseg'),
    keeps_heads=True,
    file_prefix='backbone.',
)


def _is_mmaction(clues: Clues) -> bool:
    # The official video code has no norms of outputs.
    return clues.family == 'video' and any(map(is_output_norm, clues.backbone))


MMACTION = Source(
    'mmaction2',
    marker=_NATIVE_MARKER,
    layouts=dict(video=Layout(unsupported=r'norm\.|head\.')),
    is_marked=_is_mmaction,
    targets=('mmaction',),
    keeps_heads=True,
)


def _is_mmpretrain(clues: Clues) -> bool:
    # mmdet and mmseg have neither V2 nor classifiers nor pretraining.
    if clues.family == 'v2':
        return True
    if not clues.prefix:
        return False
    other_heads = {'decode_head', 'cls_head'} & clues.beside
    is_classifier = 'head' in clues.beside and not other_heads
    return is_classifier or 'mask_token' in clues.backbone


def _mmpretrain_prefix(native: Mapping[str, Any], family: str) -> str:
    # The head of a classifier is next to its backbone.
    return 'backbone.' if 'head.weight' in native else ''


_MMPRETRAIN = replace(
    _MMDET,
    outside_renames=(('head.', 'head.fc.'),),
    unsupported=r'mask_token$|norm\.',
    numbers_classifier_norm=True,
)
MMPRETRAIN = Source(
    'mmpretrain',
    marker=_MMDET_MARKER,
    layouts=dict(
        v1=_MMPRETRAIN, v2=replace(_MMPRETRAIN, merging_stage=(1, 1))
    ),
    is_marked=_is_mmpretrain,
    targets=('mmpretrain',),
    export_prefix=_mmpretrain_prefix,
    file_prefix='backbone.',
)

# --------------------------------------------------------------------- timm


def _is_timm(clues: Clues) -> bool:
    # A merging begins a stage of timm, so that the first stage has none.
    stages = {m[1] for m in map(_MERGING.match, clues.backbone) if m}
    return bool(stages) and '0' not in stages


_TIMM = Layout(
    merging_stage=(1, 1),
    renames=(('head.', 'head.fc.'),),
    unsupported=_DENSE_OR_HUGE,
)
TIMM = Source(
    'timm',
    marker=_NATIVE_MARKER,
    layouts=dict(v1=_TIMM, v2=_TIMM),
    is_marked=_is_timm,
    targets=('timm',),
)

# Models made with `features_only=True`, which timm flattens.
_TIMM_FEATURES = replace(
    _TIMM, block='layers_{}.blocks.{}.', merging='layers_{}.downsample.'
)
TIMM_FEATURES = Source(
    'timm features_only',
    marker=(
        r'layers_\d+\.blocks\.\d+\.attn\.'
        r'(?:relative_position_bias_table|logit_scale)'
    ),
    layouts=dict(v1=_TIMM_FEATURES, v2=_TIMM_FEATURES),
)

# -------------------------------------------------------------- torchvision

_TORCHVISION_VIDEO = Layout(
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 0),
    merging_stage=(2, 1),
    block_renames=(('mlp.fc1.', 'mlp.0.'), ('mlp.fc2.', 'mlp.3.')),
    unsupported=_DENSE_OR_HUGE,
    final_norm=True,
)
# The patch embedding is the first of the `features`.
_TORCHVISION = replace(
    _TORCHVISION_VIDEO,
    block_stage=(2, 1),
    merging_stage=(2, 2),
    renames=(
        ('patch_embed.proj.', 'features.0.0.'),
        ('patch_embed.norm.', 'features.0.2.'),
    ),
    final_norm=False,
    to_native_values=(tensors.split_bias,),
    from_native_values=(tensors.join_bias,),
)
TORCHVISION = Source(
    'torchvision',
    marker=(
        r'features\.\d+\.\d+\.attn\.'
        r'(?:relative_position_bias_table|logit_scale)'
    ),
    layouts=dict(v1=_TORCHVISION, v2=_TORCHVISION, video=_TORCHVISION_VIDEO),
    targets=('torchvision',),
    wrapper=None,
)

# ------------------------------------------------------------- Hugging Face


def _transformers_prefix(native: Mapping[str, Any], family: str) -> str:
    if family == 'v2':
        return 'swinv2.'
    return '' if any(map(is_output_norm, native)) else 'swin.'


# In `block_renames` the names of published files come first, then those that
# transformers 5 gives to the parts of its V1 in memory.
_SELF = 'attention.self.'
_TRANSFORMERS = Layout(
    block='encoder.layers.{}.blocks.{}.',
    merging='encoder.layers.{}.downsample.',
    renames=(
        ('patch_embed.proj.', 'embeddings.patch_embeddings.projection.'),
        ('patch_embed.norm.', 'embeddings.norm.'),
        ('absolute_pos_embed', 'embeddings.position_embeddings'),
        ('mask_token', 'embeddings.mask_token'),
        ('norm.', 'layernorm.'),
        # In a SwinBackbone that transformers 5 saved, this name alone has the
        # prefix `swin.`.
        ('norm.', 'swin.layernorm.'),
    ),
    block_renames=(
        ('norm1.', 'layernorm_before.'),
        ('norm2.', 'layernorm_after.'),
        ('attn.q.', _SELF + 'query.'),
        ('attn.k.', _SELF + 'key.'),
        ('attn.v.', _SELF + 'value.'),
        ('attn.cpb_mlp.', _SELF + 'continuous_position_bias_mlp.'),
        ('attn.proj.', 'attention.output.dense.'),
        ('mlp.fc1.', 'intermediate.dense.'),
        ('mlp.fc2.', 'output.dense.'),
        ('attn.q.', 'attention.q_proj.'),
        ('attn.k.', 'attention.k_proj.'),
        ('attn.v.', 'attention.v_proj.'),
        ('attn.proj.', 'attention.o_proj.'),
        ('attn.', _SELF),
        ('attn.', 'attention.relative_position_bias.'),
    ),
    outside_renames=(
        ('head.', 'classifier.'),
        *(
            (f'norm{i}.', f'hidden_states_norms.stage{i + 1}.')
            for i in range(9)
        ),
        # In MaskFormer.
        *((f'norm{i}.', f'hidden_states_norms.{i}.') for i in range(9)),
    ),
    unsupported=r'mask_token$|.*\.norm3\.',
    to_native_values=(tensors.join_qkv,),
    from_native_values=(tensors.split_qkv,),
)
TRANSFORMERS = Source(
    'Hugging Face',
    marker=r'encoder\.layers\.\d+\.blocks\.\d+\.attention\..+',
    layouts=dict(
        v1=_TRANSFORMERS,
        # Its V2 has no norms of outputs.
        v2=replace(
            _TRANSFORMERS, unsupported=r'mask_token$|norm\d+\.|.*\.norm3\.'
        ),
    ),
    targets=('huggingface',),
    export_prefix=_transformers_prefix,
    wrapper=None,
)

# If several sources claim a backbone, the first one gets it.
KNOWN: tuple[Source, ...] = (
    OFFICIAL,
    MOBY,
    DISTILLATION,
    SIMMIM,
    MMDET,
    MMACTION,
    MMPRETRAIN,
    TIMM,
    TIMM_FEATURES,
    TORCHVISION,
    TRANSFORMERS,
)
