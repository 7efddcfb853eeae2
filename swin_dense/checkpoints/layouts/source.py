"""The record of a source of checkpoints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swin_dense.checkpoints.layouts.layout import Layout


@dataclass(frozen=True)
class Clues:
    """Facts that distinguish sources with the same parameter names.

    Attributes:
        family: Member of the family, see `native.family`.
        backbone: Tensors of the backbone by source name, without its prefix.
        beside: First parts of the names next to the backbone.
        prefix: Prefix of the backbone's names, such as '' or 'backbone.'.
    """

    family: str
    backbone: Mapping[str, Any]
    beside: frozenset[str]
    prefix: str


@dataclass(frozen=True)
class Source:
    """A code base whose checkpoints can be read, and perhaps written.

    To add a source, append one entry to `known.KNOWN`.

    Attributes:
        name: Name in reports and errors.
        marker: Pattern of parameter names, without the backbone's prefix,
            that each of its backbones has and few other models have.
        layouts: Layout of each member of the family that the source has. The
            first one is also used to read any other member.
        is_marked: Function that decides by further clues. Without one, the
            source gets the backbones with its marker that no other source
            claims.
        is_pretraining: If true, its models are those of a self-supervised
            method.
        targets: Names of the source as a target of conversions; none if
            checkpoints are only read.
        export_prefix: Function that returns the prefix of the names in an
            exported state_dict, of the native names of the backbone and the
            member of the family.
        keeps_heads: If true, a converted detector, segmentor or recognizer
            keeps its necks and heads, since the target knows their names.
        file_prefix: Prefix of a backbone's names in a converted file.
        wrapper: Key of the state_dict in a converted file; None for a file
            that is a state_dict itself.
    """

    name: str
    marker: str
    layouts: Mapping[str, Layout]
    is_marked: Callable[[Clues], bool] | None = None
    is_pretraining: bool = False
    targets: tuple[str, ...] = ()
    export_prefix: Callable[[Mapping[str, Any], str], str] = lambda *_: ''
    keeps_heads: bool = False
    file_prefix: str = ''
    wrapper: str | None = 'state_dict'

    def layout(self, family: str) -> Layout:
        """Return the layout to read a member of the family with."""
        return self.layouts.get(family) or next(iter(self.layouts.values()))
