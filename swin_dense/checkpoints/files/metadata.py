"""Metadata that swin_dense records in a checkpoint beside the weights."""

from collections.abc import Mapping
from typing import Any

# Key of the metadata below `meta` of a checkpoint, or name of an attribute of
# a bare state_dict.
_KEY = 'swin_dense'


def metadata_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that `write_checkpoint` recorded; {} if none."""
    record = _meta_of(checkpoint).get(_KEY) or getattr(checkpoint, _KEY, None)
    return dict(record) if isinstance(record, Mapping) else {}


def with_record(
    meta: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the `meta` of a checkpoint with additions to the metadata."""
    return {**meta, _KEY: {**metadata_of({'meta': meta}), **record}}


def _meta_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the `meta` of a checkpoint; {} if there is none."""
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, Mapping) else {}
