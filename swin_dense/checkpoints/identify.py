"""Identify the member and the size of the family in a state_dict."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

from swin_dense.checkpoints.native import FAMILIES, family
from swin_dense.checkpoints.position import PATCH
from swin_dense.checkpoints.windows import find_window
from swin_dense.ops.grid import Grid, format_size
from swin_dense.sizes import SWIN, SWIN_V2

_LETTERS = {
    (sizes['embed_dims'], sizes['depths']): name[0].upper()
    for name, sizes in SWIN.items()
}
_V2_LETTERS = {
    (sizes['embed_dims'], sizes['depths']): (
        'g' if name == 'giant_hub' else name[0].upper()
    )
    for name, sizes in SWIN_V2.items()
}
_LARGEST = ('H', 'g', 'G')  # their numbers of heads are not published
_HEAD_CHANNELS = 32
# Mini-Swin has a norm for each run of a block.
_BLOCK = re.compile(
    r'layers\.(\d+)\.blocks\.(\d+)\.norm1(?:_list\.\d+)?\.weight$'
)
_HEADS = re.compile(
    r'layers\.(\d+)\.blocks\.0\.(attn\.'
    r'(?:relative_position_bias_table|logit_scale|'
    r'cpb_mlp\.2\.weight)|spatial_mlp\.weight)$'
)
_EXPERTS = '._moe_layer.experts.batched_fc1_w'


class Variant(NamedTuple):
    """A member of the family and its sizes.

    Attributes:
        family: Member of the family, see `native.family`.
        size: Letter of the published size, such as 'T'; 'T/C24' if heads have
            24 channels instead of the usual 32; '' for an unpublished size.
        embed_dims: Channels of the first stage.
        depths: Blocks per stage.
        num_heads: Heads per stage; () if unknown.
        window: Window in tokens per axis; None if unknown.
        experts: Experts in a block of Swin-MoE.
    """

    family: str
    size: str
    embed_dims: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window: Grid | None
    experts: int

    def __str__(self) -> str:
        name = FAMILIES[self.family]
        name = (
            f'{name}-{self.size}'
            if self.size
            else (f'a {name} of no published size')
        )
        parts = [
            f'embed_dims {self.embed_dims}',
            f'depths {_dashed(self.depths)}',
        ]
        if self.num_heads:
            parts.append(f'heads {_dashed(self.num_heads)}')
        if self.window:
            square = len(self.window) == 2 and len(set(self.window)) == 1
            sides = self.window[:1] if square else self.window
            parts.append(f'window {format_size(sides)}')
        if self.experts:
            parts.append(f'{self.experts} experts')
        return f'{name} ({", ".join(parts)})'


def describe(state_dict: Mapping[str, Tensor]) -> str | None:
    """Describe the variant of a backbone in native names.

    Returns:
        Text such as 'Swin-T (embed_dims 96, depths 2-2-6-2, heads 3-6-12-24,
        window 7)', or None if the state_dict is not a Swin.
    """
    variant = identify(state_dict)
    return str(variant) if variant else None


def identify(state_dict: Mapping[str, Tensor]) -> Variant | None:
    """Return the variant of a backbone in native names.

    Args:
        state_dict: Native names and tensors, or anything with a shape. With
            recomputed buffers (see `translate.EVERYTHING`), the window of V2
            and windows that are not square can be found.

    Returns:
        The variant, or None if the state_dict is not a Swin.
    """
    blocks = Counter(m[1] for m in map(_BLOCK.match, state_dict) if m)
    patch = state_dict.get(PATCH)
    if not blocks or patch is None:
        return None
    depths = tuple(blocks[stage] for stage in sorted(blocks, key=int))
    heads = {}
    for name, value in state_dict.items():
        match = _HEADS.match(name)
        if match:
            heads[int(match[1])] = _count_heads(match[2], value)
    member = family(state_dict)
    num_heads = tuple(heads[stage] for stage in sorted(heads))
    experts = [len(v) for k, v in state_dict.items() if k.endswith(_EXPERTS)]
    return Variant(
        member,
        _size(member, len(patch), depths, num_heads),
        len(patch),
        depths,
        num_heads,
        _window(state_dict, patch.ndim - 2),
        max(experts, default=0),
    )


def _count_heads(leaf: str, value: Tensor) -> int:
    """Return the number of heads that a parameter of a block implies."""
    if leaf.endswith('table'):
        return value.shape[1]
    if leaf.startswith('spatial_mlp'):  # a group of rows for each head
        return len(value) // value.shape[1]
    return len(value)


def _size(
    member: str, width: int, depths: tuple[int, ...], heads: tuple[int, ...]
) -> str:
    """Return `Variant.size`."""
    letters = _V2_LETTERS if member in ('v2', 'video_v2') else _LETTERS
    size = letters.get((width, depths), '')
    channels = width // heads[0] if heads else _HEAD_CHANNELS
    is_usual = channels == _HEAD_CHANNELS or size in _LARGEST
    return size if is_usual or not size else f'{size}/C{channels}'


def _window(state_dict: Mapping[str, Tensor], axes: int) -> Grid | None:
    """Return the window that the first block implies; None if unknown."""
    path = 'layers.0.blocks.0.'
    mixer = state_dict.get(f'{path}spatial_mlp.weight')
    table = state_dict.get(f'{path}attn.relative_position_bias_table')
    coordinates = state_dict.get(f'{path}attn.relative_coords_table')
    index = state_dict.get(f'{path}attn.relative_position_index')
    if coordinates is not None:
        return tuple((size + 1) // 2 for size in coordinates.shape[1:-1])
    if mixer is not None:
        side = round(mixer.shape[1] ** 0.5)
        return (side, side) if side**2 == mixer.shape[1] else None
    if table is None:
        side = round(index.numel() ** 0.25) if index is not None else 0
        return (side, side) if side else None
    try:
        return find_window(len(table), axes, index)
    except ValueError:
        return None


def _dashed(numbers: Iterable[int]) -> str:
    """Return numbers as text, such as '2-2-6-2'."""
    return '-'.join(map(str, numbers))
