"""How a source names parameters, and how names are translated."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from swin_dense.checkpoints.layouts.tensors import StateDict

Pairs = tuple[tuple[str, str], ...]
TensorChange = Callable[[StateDict], StateDict]
_BLOCK = 'layers.{}.blocks.{}.'
_MERGING = 'layers.{}.downsample.'


@dataclass(frozen=True)
class Layout:
    """One way to name the parts of a backbone.

    In `renames` and the like, the first of two strings is native, the second
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
        renames: Starts of names that differ, outside of blocks.
        block_renames: Starts of what follows `block`.
        outside_renames: Starts of names that belong to the backbone here and
            are next to it there.
        unsupported: Pattern of native names that have no place in their
            models; `norm0.`, `norm1.` are of outputs, `norm.` and `head.` of a
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
    renames: Pairs = ()
    block_renames: Pairs = ()
    outside_renames: Pairs = ()
    unsupported: str = 'mask_token$'
    final_norm: bool = False
    to_native_values: tuple[TensorChange, ...] = ()
    from_native_values: tuple[TensorChange, ...] = ()

    def to_native(self, name: str) -> str:
        """The native name of one of theirs."""
        for native, theirs in self.renames:
            if name.startswith(theirs):
                return native + name[len(theirs) :]
        match = _pattern(self.block).match(name)
        if match:
            leaf = match[3]
            for native, theirs in self.block_renames:
                if leaf.startswith(theirs):
                    leaf = native + leaf[len(theirs) :]
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
        for native, theirs in self.renames:
            if name.startswith(native):
                return theirs + name[len(native) :]
        match = _pattern(_BLOCK).match(name)
        if match:
            leaf = match[3]
            for native, theirs in self.block_renames:
                if leaf.startswith(native):
                    leaf = theirs + leaf[len(native) :]
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
    return re.compile(re.escape(template).replace(r'\{\}', r'(\d+)') + '(.+)')


def _apply(change: tuple[int, int], stage: str) -> str:
    factor, offset = change
    return str(factor * int(stage) + offset)


def _undo(change: tuple[int, int], theirs: str) -> str:
    factor, offset = change
    return str((int(theirs) - offset) // factor)
