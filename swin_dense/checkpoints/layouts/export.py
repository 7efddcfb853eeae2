"""Give a native backbone the parameter names of another source."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from swin_dense.checkpoints.layouts import known
from swin_dense.checkpoints.layouts.layout import Layout
from swin_dense.checkpoints.layouts.source import Source
from swin_dense.checkpoints.layouts.tensors import StateDict
from swin_dense.checkpoints.native import (
    FAMILIES,
    RECOMPUTED,
    encode,
    family,
    last_norm,
    replace_prefix,
)
from swin_dense.wording import first_few

# Names of the sources that checkpoints can be converted to.
TARGETS = tuple(target for source in known.KNOWN for target in source.targets)


def export(native: Mapping[str, Tensor], target: str) -> StateDict:
    """Return a native backbone under the names of a target.

    This is the inverse of `read_backbone`. Names have no prefix `backbone.`,
    except in a classifier for mmpretrain, whose head is next to the backbone.
    For Hugging Face the names are those of published files, which every
    version of transformers reads: with norms of outputs those of a
    `SwinBackbone`, else those of a `SwinModel` or `Swinv2Model` within another
    model. Buffers that models recompute are left out.

    Args:
        native: Backbone in native names.
        target: One of `TARGETS`.

    Raises:
        ValueError: If there is no such target, if it has no such member of
            the family, or if its models lack some of the tensors, see
            `unsupported_names`.
    """
    source, layout = _target_layout(native, target)
    lacking = unsupported_names(native, target)
    if lacking:
        raise ValueError(
            f'{source.name} has no place for {len(lacking)} of '
            f'{len(native)} tensors: {first_few(lacking, 8)}. Leave them out, '
            'if the target does not need them'
        )
    names = target_names(_without_recomputed(native), layout)
    prefix = source.export_prefix(native, family(native))
    weights = {names[name]: native[name] for name in names}
    return encode(weights, layout, prefix)


def unsupported_names(native: Mapping[str, Tensor], target: str) -> list[str]:
    """Return the native names of tensors that a target's models lack.

    These are, for instance, the norms of outputs if its models are
    classifiers.

    Args:
        native: Backbone in native names.
        target: One of `TARGETS`.

    Raises:
        ValueError: If there is no such target, or it has no such member of
            the family.
    """
    _, layout = _target_layout(native, target)
    unsupported = re.compile(layout.unsupported)
    names = target_names(_without_recomputed(native), layout)
    return [name for name in names if unsupported.match(names[name])]


def source_of(target: str) -> Source:
    """Return the source that a target of conversions stands for.

    Raises:
        ValueError: If there is no such target.
    """
    for source in known.KNOWN:
        if target in source.targets:
            return source
    raise ValueError(
        f'no target {target!r}: expected one of {", ".join(TARGETS)}'
    )


def _target_layout(
    native: Mapping[str, Any], target: str
) -> tuple[Source, Layout]:
    """Return the source of a target and its layout for a backbone."""
    source, member = source_of(target), family(native)
    if member not in source.layouts:
        possible = [
            name for name in TARGETS if member in source_of(name).layouts
        ]
        raise ValueError(
            f'{target} has no {FAMILIES[member]} ({member}): expected one of '
            f'{", ".join(possible)}'
        )
    return source, source.layouts[member]


def _without_recomputed(native: Iterable[str]) -> list[str]:
    return [name for name in native if not RECOMPUTED.search(name)]


def target_names(native: Iterable[str], layout: Layout) -> dict[str, str]:
    """Return the native names with the final norm named as in a layout.

    Args:
        native: Native names of a backbone.
        layout: Layout of the target.

    Returns:
        For each name the native name to translate by the layout.
    """
    names = {name: name for name in native}
    last = last_norm(names)
    if layout.final_norm:
        return replace_prefix(names, last, 'norm.')
    if (
        layout.numbers_classifier_norm
        and 'head.weight' in names
        and f'{last}weight' not in names
    ):
        return replace_prefix(names, 'norm.', last)
    return names
