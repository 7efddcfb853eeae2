"""The parameter names of each source of Swin checkpoints.

Native names are those of the official Microsoft code. Every other source is
a `Layout`: how it names blocks and mergings, which fragments of names differ,
and which functions of `tensors` convert its tensors. A new source also needs a
marker in `recognise`, and an entry in `targets` to export to it.
"""

from dataclasses import replace

from swin_dense.checkpoints.layouts import tensors
from swin_dense.checkpoints.layouts.layout import Layout

MICROSOFT = Layout(
    'Microsoft',
    # As SimMIM and feature distillation called them at first.
    block_renames=(
        ('attn.cpb_mlp.', 'attn.cpb_mlp.'),
        ('attn.cpb_mlp.', 'attn.rpe_mlp.'),
        ('norm3.', 'norm3.'),
        ('norm3.', 'enorm.'),
    ),
)
# A video model of the official code has one norm, that of its last output.
VIDEO = replace(MICROSOFT, unsupported=r'norm\d+\.|head\.', final_norm=True)
SIMMIM = replace(MICROSOFT, name='SimMIM')
MOBY = replace(MICROSOFT, name='MoBY')
DISTILLATION = replace(MICROSOFT, name='feature distillation')
MMACTION = Layout('mmaction2', unsupported=r'norm\.|head\.')

MMDET = Layout(
    'mmdet/mmseg',
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
MMPRETRAIN = replace(
    MMDET,
    name='mmpretrain',
    outside_renames=(('head.', 'head.fc.'),),
    unsupported=r'mask_token$|norm\.',
)
MMPRETRAIN_V2 = replace(MMPRETRAIN, merging_stage=(1, 1))
BY_MMPRETRAIN = (MMPRETRAIN, MMPRETRAIN_V2)

_DENSE_OR_HUGE = r'mask_token$|absolute_pos_embed$|norm\d+\.|.*\.norm3\.'
TIMM = Layout(
    'timm',
    merging_stage=(1, 1),
    renames=(('head.', 'head.fc.'),),
    unsupported=_DENSE_OR_HUGE,
)

_TORCHVISION_LEAVES = (('mlp.fc1.', 'mlp.0.'), ('mlp.fc2.', 'mlp.3.'))
TORCHVISION = Layout(
    'torchvision',
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 1),
    merging_stage=(2, 2),
    renames=(
        ('patch_embed.proj.', 'features.0.0.'),
        ('patch_embed.norm.', 'features.0.2.'),
    ),
    block_renames=_TORCHVISION_LEAVES,
    unsupported=_DENSE_OR_HUGE,
    to_native_values=(tensors.split_bias,),
    from_native_values=(tensors.join_bias,),
)
TORCHVISION_VIDEO = Layout(
    'torchvision',
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 0),
    merging_stage=(2, 1),
    block_renames=_TORCHVISION_LEAVES,
    unsupported=_DENSE_OR_HUGE,
    final_norm=True,
)

# The names of published files and, after them, those that transformers 5
# gives to the parts of its V1 in memory.
_SELF = 'attention.self.'
HUGGING_FACE = Layout(
    'Hugging Face',
    block='encoder.layers.{}.blocks.{}.',
    merging='encoder.layers.{}.downsample.',
    renames=(
        ('patch_embed.proj.', 'embeddings.patch_embeddings.projection.'),
        ('patch_embed.norm.', 'embeddings.norm.'),
        ('absolute_pos_embed', 'embeddings.position_embeddings'),
        ('mask_token', 'embeddings.mask_token'),
        ('norm.', 'layernorm.'),
        # Transformers 5 saves a SwinBackbone so: this alone with `swin.`.
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
# Its backbone has no norms of outputs.
HUGGING_FACE_V2 = replace(
    HUGGING_FACE, unsupported=r'mask_token$|norm\d+\.|.*\.norm3\.'
)
