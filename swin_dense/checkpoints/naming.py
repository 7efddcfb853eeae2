"""The names that different sources give to the parts of a Swin.

Native are the names of the official Microsoft code. Every other naming is one
`Naming`: how it calls blocks and mergings, which fragments differ, and which
functions of `values` its tensors take. A further source is one more entry.
"""
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Callable

from swin_dense.checkpoints import values
from swin_dense.checkpoints.values import StateDict

Pairs = tuple[tuple[str, str], ...]
Change = Callable[[StateDict], StateDict]

_BLOCK = 'layers.{}.blocks.{}.'
_MERGING = 'layers.{}.downsample.'


@dataclass(frozen=True)
class Naming:
    """One way to name the parts of a backbone.

    In `pairs` and the like, the first of two strings is native, the second
    theirs. Of several pairs that fit, the first is taken.

    Attributes:
        name: How reports call it.
        block: Start of the names in a block, with `{}` for the number of the
            stage and the number of the block.
        merging: Start of the names in a patch merging, with `{}` for the
            stage.
        block_stage: Factor and offset that make their number of a stage.
        merging_stage: The same for the merging that ends a native stage; with
            offset 1 it begins their next stage.
        pairs: Starts of names that differ, outside of blocks.
        leaves: Starts of what follows `block`.
        beside: Starts of names that belong to the backbone here and are next
            to it there.
        lacks: Pattern of native names that have no place in their models;
            `norm0.`, `norm1.` are of outputs, `norm.` and `head.` of a
            classifier, `norm3.` in a block is the extra norm of huge ones.
        final_norm: Whether the norm of the last output is called `norm.`.
        to_native_values: Functions that make the native tensors.
        from_native_values: The way back.
    """

    name: str
    block: str = _BLOCK
    merging: str = _MERGING
    block_stage: tuple[int, int] = (1, 0)
    merging_stage: tuple[int, int] = (1, 0)
    pairs: Pairs = ()
    leaves: Pairs = ()
    beside: Pairs = ()
    lacks: str = 'mask_token$'
    final_norm: bool = False
    to_native_values: tuple[Change, ...] = ()
    from_native_values: tuple[Change, ...] = ()

    def to_native(self, name: str) -> str:
        """The native name of one of theirs."""
        for native, theirs in self.pairs:
            if name.startswith(theirs):
                return native + name[len(theirs):]
        match = _pattern(self.block).match(name)
        if match:
            leaf = match[3]
            for native, theirs in self.leaves:
                if leaf.startswith(theirs):
                    leaf = native + leaf[len(theirs):]
                    break
            stage = _undo(self.block_stage, match[1])
            return _BLOCK.format(stage, match[2]) + leaf
        match = _pattern(self.merging).match(name)
        if match:
            stage = _undo(self.merging_stage, match[1])
            return _MERGING.format(stage) + match[2]
        return name

    def from_native(self, name: str) -> str:
        """Their name of a native one."""
        for native, theirs in self.pairs:
            if name.startswith(native):
                return theirs + name[len(native):]
        match = _pattern(_BLOCK).match(name)
        if match:
            leaf = match[3]
            for native, theirs in self.leaves:
                if leaf.startswith(native):
                    leaf = theirs + leaf[len(native):]
                    break
            stage = _apply(self.block_stage, match[1])
            return self.block.format(stage, match[2]) + leaf
        match = _pattern(_MERGING).match(name)
        if match:
            stage = _apply(self.merging_stage, match[1])
            return self.merging.format(stage) + match[2]
        return name


@lru_cache(maxsize=None)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r'\{\}', r'(\d+)') + '(.+)')


def _apply(change: tuple[int, int], stage: str) -> str:
    factor, offset = change
    return str(factor * int(stage) + offset)


def _undo(change: tuple[int, int], theirs: str) -> str:
    factor, offset = change
    return str((int(theirs) - offset) // factor)


MICROSOFT = Naming(
    'Microsoft',
    # As SimMIM and feature distillation called them at first.
    leaves=(('attn.cpb_mlp.', 'attn.cpb_mlp.'), ('attn.cpb_mlp.',
                                                 'attn.rpe_mlp.'),
            ('norm3.', 'norm3.'), ('norm3.', 'enorm.')))
# A video model of the official code has one norm, that of its last output.
VIDEO = replace(MICROSOFT, lacks=r'norm\d+\.|head\.', final_norm=True)
SIMMIM = replace(MICROSOFT, name='SimMIM')
MOBY = replace(MICROSOFT, name='MoBY')
DISTILLATION = replace(MICROSOFT, name='feature distillation')
MMACTION = Naming('mmaction2', lacks=r'norm\.|head\.')

MMDET = Naming(
    'mmdet/mmseg',
    block='stages.{}.blocks.{}.',
    merging='stages.{}.downsample.',
    pairs=(('patch_embed.proj.', 'patch_embed.projection.'), ),
    leaves=(('attn.', 'attn.w_msa.'), ('mlp.fc1.', 'ffn.layers.0.0.'),
            ('mlp.fc2.', 'ffn.layers.1.')),
    lacks=r'mask_token$|norm\.|head\.',
    to_native_values=(values.from_unfold, ),
    from_native_values=(values.to_unfold, ))
MMPRETRAIN = replace(
    MMDET,
    name='mmpretrain',
    beside=(('head.', 'head.fc.'), ),
    lacks=r'mask_token$|norm\.')
MMPRETRAIN_V2 = replace(MMPRETRAIN, merging_stage=(1, 1))
BY_MMPRETRAIN = (MMPRETRAIN, MMPRETRAIN_V2)

_DENSE_OR_HUGE = r'mask_token$|absolute_pos_embed$|norm\d+\.|.*\.norm3\.'
TIMM = Naming(
    'timm',
    merging_stage=(1, 1),
    pairs=(('head.', 'head.fc.'), ),
    lacks=_DENSE_OR_HUGE)

_TORCHVISION_LEAVES = (('mlp.fc1.', 'mlp.0.'), ('mlp.fc2.', 'mlp.3.'))
TORCHVISION = Naming(
    'torchvision',
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 1),
    merging_stage=(2, 2),
    pairs=(('patch_embed.proj.', 'features.0.0.'), ('patch_embed.norm.',
                                                    'features.0.2.')),
    leaves=_TORCHVISION_LEAVES,
    lacks=_DENSE_OR_HUGE,
    to_native_values=(values.split_bias, ),
    from_native_values=(values.join_bias, ))
TORCHVISION_VIDEO = Naming(
    'torchvision',
    block='features.{}.{}.',
    merging='features.{}.',
    block_stage=(2, 0),
    merging_stage=(2, 1),
    leaves=_TORCHVISION_LEAVES,
    lacks=_DENSE_OR_HUGE,
    final_norm=True)

# The names of published files and, after them, those that transformers 5
# gives to the parts of its V1 in memory.
_SELF = 'attention.self.'
HUGGING_FACE = Naming(
    'Hugging Face',
    block='encoder.layers.{}.blocks.{}.',
    merging='encoder.layers.{}.downsample.',
    pairs=(
        ('patch_embed.proj.', 'embeddings.patch_embeddings.projection.'),
        ('patch_embed.norm.', 'embeddings.norm.'),
        ('absolute_pos_embed', 'embeddings.position_embeddings'),
        ('mask_token', 'embeddings.mask_token'),
        ('norm.', 'layernorm.'),
        # Transformers 5 saves a SwinBackbone so: this alone with `swin.`.
        ('norm.', 'swin.layernorm.')),
    leaves=(
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
    beside=(
        ('head.', 'classifier.'),
        *((f'norm{i}.', f'hidden_states_norms.stage{i + 1}.')
          for i in range(9)),
        # In MaskFormer.
        *((f'norm{i}.', f'hidden_states_norms.{i}.') for i in range(9))),
    lacks=r'mask_token$|.*\.norm3\.',
    to_native_values=(values.join_qkv, ),
    from_native_values=(values.split_qkv, ))
# Its backbone has no norms of outputs.
HUGGING_FACE_V2 = replace(
    HUGGING_FACE, lacks=r'mask_token$|norm\d+\.|.*\.norm3\.')
