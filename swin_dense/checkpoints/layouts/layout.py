"""The parameter names of a source, and their translation."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from swin_dense.checkpoints.layouts.tensors import StateDict

# Pairs of native name and source name.
Renames = tuple[tuple[str, str], ...]
TensorChange = Callable[[StateDict], StateDict]
_BLOCK = 'layers.{}.blocks.{}.'
_MERGING = 'layers.{}.downsample.'


@dataclass(frozen=True)
class Layout:
    """The names that a source gives to the parameters of a backbone.

    Native names are those of the official Microsoft code; *source names* are
    those of this layout. A rename is a pair of prefixes: the native one, then
    the source's. If several renames fit a name, the first one is applied.

    Attributes:
        block: Prefix of the names in a block, with `{}` for the number of the
            stage and `{}` for that of the block.
        merging: Prefix of the names in a patch merging, with `{}` for the
            number of the stage.
        block_stage: Factor and offset that turn a native stage number into
            the number in `block`.
        merging_stage: Factor and offset that turn the number of the stage
            that a merging ends into the number in `merging`. The offset is 1
            if mergings begin the next stage instead.
        renames: Renames outside of blocks.
        block_renames: Renames of the part of a name that follows `block`.
        outside_renames: Renames of parameters that belong to the native
            backbone, but are next to the backbone in the source.
        unsupported: Pattern of native names that the source's models do not
            have. `norm0.`, `norm1.`, ... are norms of outputs; `norm.` and
            `head.` are those of a classifier; `norm3.` in a block is the
            extra norm of the largest sizes.
        final_norm: If true, the norm of the last output is called `norm.`.
        numbers_classifier_norm: If true, the norm of a classifier is called
            as that of the last output, such as `norm3.`.
        to_native_values: Functions that turn the source's tensors into native
            ones, under native names.
        from_native_values: The inverse of `to_native_values`.
    """

    block: str = _BLOCK
    merging: str = _MERGING
    block_stage: tuple[int, int] = (1, 0)
    merging_stage: tuple[int, int] = (1, 0)
    renames: Renames = ()
    block_renames: Renames = ()
    outside_renames: Renames = ()
    unsupported: str = 'mask_token$'
    final_norm: bool = False
    numbers_classifier_norm: bool = False
    to_native_values: tuple[TensorChange, ...] = ()
    from_native_values: tuple[TensorChange, ...] = ()

    def to_native(self, name: str) -> str:
        """Return the native name of a source name."""
        for native, source in self.renames:
            if name.startswith(source):
                return native + name[len(source) :]
        match = _pattern(self.block).match(name)
        if match:
            leaf = match[3]
            for native, source in self.block_renames:
                if leaf.startswith(source):
                    leaf = native + leaf[len(source) :]
                    break
            stage = _undo(self.block_stage, match[1])
            return _BLOCK.format(stage, match[2]) + leaf
        match = _pattern(self.merging).match(name)
        if match:
            stage = _undo(self.merging_stage, match[1])
            return _MERGING.format(stage) + match[2]
        return name

    def from_native(self, name: str) -> str:
        """Return the source name of a native name."""
        for native, source in self.renames:
            if name.startswith(native):
                return source + name[len(native) :]
        match = _pattern(_BLOCK).match(name)
        if match:
            leaf = match[3]
            for native, source in self.block_renames:
                if leaf.startswith(native):
                    leaf = source + leaf[len(native) :]
                    break
            stage = _apply(self.block_stage, match[1])
            return self.block.format(stage, match[2]) + leaf
        match = _pattern(_MERGING).match(name)
        if match:
            stage = _apply(self.merging_stage, match[1])
            return self.merging.format(stage) + match[2]
        return name


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return a pattern of names that begin as `block` or `merging` say."""
    return re.compile(re.escape(template).replace(r'\{\}', r'(\d+)') + '(.+)')


def _apply(change: tuple[int, int], stage: str) -> str:
    """Return the source's number of a native stage."""
    factor, offset = change
    return str(factor * int(stage) + offset)


def _undo(change: tuple[int, int], stage: str) -> str:
    """Return the native number of a stage of the source."""
    factor, offset = change
    return str((int(stage) - offset) // factor)
