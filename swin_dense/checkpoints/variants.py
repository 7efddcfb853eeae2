"""Telling which member of the family a state_dict belongs to."""
import re
from collections import Counter
from typing import Iterable, Mapping, Optional

from torch import Tensor

from swin_dense.checkpoints.transfer import table_window

_SIZES: dict[tuple[int, tuple[int, ...]], str] = {
    (96, (2, 2, 6, 2)): 'T',
    (96, (2, 2, 18, 2)): 'S',
    (128, (2, 2, 18, 2)): 'B',
    (192, (2, 2, 18, 2)): 'L',
}
_BLOCK = re.compile(r'layers\.(\d+)\.blocks\.(\d+)\.norm1\.weight$')
_HEADS = re.compile(r'layers\.(\d+)\.blocks\.0\.attn\.'
                    r'(relative_position_bias_table|logit_scale)$')


def describe(state_dict: Mapping[str, Tensor]) -> Optional[str]:
    """Name the variant of a backbone in native names.

    Returns:
        Such as 'Swin-T (embed_dims 96, depths 2-2-6-2, heads 3-6-12-24,
        window 7)', or None where it is no Swin.
    """
    blocks = Counter(m[1] for m in map(_BLOCK.match, state_dict) if m)
    patch = state_dict.get('patch_embed.proj.weight')
    if not blocks or patch is None:
        return None
    depths = tuple(blocks[stage] for stage in sorted(blocks, key=int))
    parts = [f'embed_dims {len(patch)}', f'depths {_dashed(depths)}']
    heads = {}
    window = None
    for name, value in state_dict.items():
        match = _HEADS.match(name)
        if match and match[2] == 'logit_scale':
            heads[int(match[1])] = len(value)
        elif match:
            heads[int(match[1])] = value.shape[-1]
            window = table_window(len(value))
    if heads:
        parts.append(f'heads {_dashed(heads[i] for i in sorted(heads))}')
    if window and patch.ndim == 4:
        parts.append(f'window {window}')
    size = _SIZES.get((len(patch), depths))
    name = f'{_family(state_dict, patch)}-{size}' if size else (
        f'a {_family(state_dict, patch)} of no published size')
    return f'{name} ({", ".join(parts)})'


def _family(state_dict: Mapping[str, Tensor], patch: Tensor) -> str:
    if patch.ndim == 5:
        return 'Video Swin'
    if any('.cpb_mlp.' in name for name in state_dict):
        return 'Swin V2'
    if any('.spatial_mlp.' in name for name in state_dict):
        return 'Swin-MLP'
    return 'Swin'


def _dashed(numbers: Iterable[int]) -> str:
    return '-'.join(map(str, numbers))
