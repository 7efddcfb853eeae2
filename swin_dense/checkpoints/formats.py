"""The names that different sources give to the parts of a Swin.

Native are the names of the official Microsoft code. Every other naming is one
table of pairs (native, theirs); a further source is one more entry of
`NAMINGS`. All functions are pure: dictionaries in, dictionaries out.
"""
import re
from dataclasses import dataclass
from typing import Any, Callable, Container, Mapping, NamedTuple

import torch
from torch import Tensor

StateDict = dict[str, Tensor]

# Computed anew by every model from its own window and image size.
RECOMPUTED = re.compile(
    r'(^|\.)(relative_position_index|relative_coords_table|attn_mask)$')
_CLASSIFIER = re.compile(r'(norm|head)\.')
_OUTPUT_NORM = re.compile(r'norm\d+\.')
_MERGING = re.compile(r'layers\.\d+\.downsample\.(norm|reduction)\.')


def _keep(name: str, value: Tensor) -> Tensor:
    return value


def _unfold_to_official(name: str, value: Tensor) -> Tensor:
    """Undo `_official_to_unfold`."""
    if not _MERGING.match(name):
        return value
    x = value.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return x[..., [0, 2, 1, 3], :].flatten(-2)


def _official_to_unfold(name: str, value: Tensor) -> Tensor:
    """Reorder the 4C inputs of a patch merging to those of `nn.Unfold`.

    Of four neighbours (row, column) the official code concatenates all
    channels of (0, 0), then of (1, 0), (0, 1) and (1, 1); Unfold goes through
    (0, 0), (0, 1), (1, 0), (1, 1) within each channel.
    """
    if not _MERGING.match(name):
        return value
    x = value.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :]
    return x.transpose(-1, -2).flatten(-2)


@dataclass(frozen=True)
class Naming:
    """One way to name the parts of a backbone.

    Attributes:
        name: How reports call it.
        marker: Some parameter of every such backbone, and of no other,
            matches this pattern.
        pairs: Native fragment and what stands in its place. A fragment that
            starts with a dot is found anywhere, any other at the start.
        to_native_value: Makes the native value from native name and value.
        from_native_value: The way back.
    """

    name: str
    marker: str
    pairs: tuple[tuple[str, str], ...] = ()
    to_native_value: Callable[[str, Tensor], Tensor] = _keep
    from_native_value: Callable[[str, Tensor], Tensor] = _keep

    def to_native(self, name: str) -> str:
        """The native name of one of theirs."""
        for native, theirs in self.pairs:
            name = _replace(name, theirs, native)
        return name

    def from_native(self, name: str) -> str:
        """Their name of a native one."""
        for native, theirs in self.pairs:
            name = _replace(name, native, theirs)
        return name


def _replace(name: str, old: str, new: str) -> str:
    if old.startswith('.'):
        return name.replace(old, new, 1)
    return new + name[len(old):] if name.startswith(old) else name


OFFICIAL = Naming('official', r'layers\.\d+\.blocks\.\d+\.norm1\.weight$')
OPENMMLAB = Naming('openmmlab',
                   r'stages\.\d+\.blocks\.\d+\.attn\.w_msa\.qkv\.weight$',
                   (('patch_embed.proj.', 'patch_embed.projection.'),
                    ('layers.', 'stages.'), ('.attn.', '.attn.w_msa.'),
                    ('.mlp.fc1.', '.ffn.layers.0.0.'),
                    ('.mlp.fc2.', '.ffn.layers.1.')), _unfold_to_official,
                   _official_to_unfold)
NAMINGS = (OFFICIAL, OPENMMLAB)


class Source(NamedTuple):
    """What a state_dict turned out to be.

    Attributes:
        naming: Names of its backbone.
        kind: `classifier`, `backbone`, `segmentor`, `recognizer` or
            `detector`.
        prefix: What its backbone's names start with, '' or 'backbone.'.
    """

    naming: Naming
    kind: str
    prefix: str

    def __str__(self) -> str:
        return f'{self.naming.name} {self.kind}'


class Converted(NamedTuple):
    """A backbone in native names.

    Attributes:
        state_dict: Native names and values.
        origin: The source's name for each native one.
        dropped: The source's names that were left out by rule: buffers that
            are recomputed, the classifier's own head and norm, everything
            outside the backbone.
        source: What the source is.
    """

    state_dict: StateDict
    origin: dict[str, str]
    dropped: list[str]
    source: Source


def unwrap(checkpoint: Mapping[str, Any]) -> StateDict:
    """The state_dict inside a checkpoint, without wrappers' prefixes.

    Looks under `state_dict` (OpenMMLab) and `model` (Microsoft); a bare
    state_dict is taken as it is. The prefix `module.` of data parallel models
    goes; what is no tensor goes.
    """
    inner: Any = checkpoint
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            inner = checkpoint[key]
            break
    state_dict = {k: v for k, v in inner.items() if torch.is_tensor(v)}
    if state_dict and all(k.startswith('module.') for k in state_dict):
        state_dict = {k[len('module.'):]: v for k, v in state_dict.items()}
    return state_dict


def recognise(state_dict: Mapping[str, Any]) -> Source:
    """Find out whose names a state_dict has, and of what model it is.

    Raises:
        ValueError: If it is in no known format; lists its first names.
    """
    for prefix in ('backbone.', ''):
        for naming in NAMINGS:
            marker = re.compile(re.escape(prefix) + naming.marker)
            if any(marker.match(name) for name in state_dict):
                return Source(naming, _kind(state_dict, prefix), prefix)
    first = ', '.join(list(state_dict)[:5]) or 'none: it holds no tensors'
    known = ', '.join(naming.name for naming in NAMINGS)
    raise ValueError(
        f'not a Swin in a known format. Its first names: {first}. Known are '
        f'the names of: {known}; with or without the prefix "backbone.", '
        'bare or under "state_dict" or "model"')


def convert(state_dict: StateDict, keep: Container[str] = ()) -> Converted:
    """Take the backbone out of a state_dict, in native names.

    Args:
        state_dict: Of any known format, see `unwrap`.
        keep: Native names that are not dropped by rule, such as the final
            norm for a model that has one.

    Raises:
        ValueError: If the format is not known.
    """
    source = recognise(state_dict)
    prefix, naming = source.prefix, source.naming
    result = Converted({}, {}, [], source)
    for theirs, value in state_dict.items():
        native = naming.to_native(theirs[len(prefix):])
        if (not theirs.startswith(prefix)
                or native not in keep and _is_dropped(native, source.kind)):
            result.dropped.append(theirs)
        else:
            result.origin[native] = theirs
            result.state_dict[native] = naming.to_native_value(native, value)
    return result


def to_native(state_dict: StateDict) -> tuple[StateDict, str]:
    """The backbone of a state_dict in native names, and the format's name.

    Raises:
        ValueError: If the format is not known.
    """
    converted = convert(state_dict)
    return converted.state_dict, str(converted.source)


def to_mmdet(state_dict: Mapping[str, Tensor]) -> StateDict:
    """A native backbone in the names of mmdet and mmseg.

    Buffers that they recompute (`relative_position_index`) are not made.
    """
    return {
        OPENMMLAB.from_native(name): OPENMMLAB.from_native_value(name, value)
        for name, value in state_dict.items() if not RECOMPUTED.search(name)
    }


def rename(state_dict: Mapping[str, Tensor],
           own: Mapping[str, Any]) -> tuple[StateDict, str]:
    """Give the backbone inside a whole model the names of another one.

    Args:
        state_dict: Of a whole model.
        own: State_dict of the model that is to take it.

    Returns:
        The state_dict with the backbone's names and values as in `own`, and
        the format's name. Nothing changes where one of the two is no Swin, or
        their backbones do not sit at the same place.
    """
    try:
        source = recognise(state_dict)
    except ValueError:
        return dict(state_dict), 'no Swin'
    try:
        target = recognise(own)
    except ValueError:
        return dict(state_dict), str(source)
    if source.naming is target.naming or source.prefix != target.prefix:
        return dict(state_dict), str(source)
    renamed = {}
    for name, value in state_dict.items():
        if name.startswith(source.prefix):
            native = source.naming.to_native(name[len(source.prefix):])
            value = source.naming.to_native_value(native, value)
            value = target.naming.from_native_value(native, value)
            name = source.prefix + target.naming.from_native(native)
        renamed[name] = value
    return renamed, str(source)


def is_output_norm(name: str) -> bool:
    """Whether a native name belongs to the norm of one of the outputs."""
    return _OUTPUT_NORM.match(name) is not None


def _is_dropped(native: str, kind: str) -> bool:
    """Whether a rule leaves this native name out of a backbone."""
    if RECOMPUTED.search(native):
        return True
    return kind == 'classifier' and _CLASSIFIER.match(native) is not None


def _kind(state_dict: Mapping[str, Any], prefix: str) -> str:
    """The kind of model, by the names around the backbone."""
    if not prefix:
        own = any(_CLASSIFIER.match(name) for name in state_dict)
        return 'classifier' if own else 'backbone'
    heads = dict(
        decode_head='segmentor', cls_head='recognizer', head='classifier')
    outside = {name.split('.')[0] for name in state_dict} - {'backbone'}
    for head, kind in heads.items():
        if head in outside:
            return kind
    return 'detector' if outside else 'backbone'
