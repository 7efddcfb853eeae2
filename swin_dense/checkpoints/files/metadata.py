"""What swin_dense records in a checkpoint beside the weights."""

from collections.abc import Mapping
from typing import Any

# Where the metadata of this package is kept: below `meta` of a checkpoint, as
# an attribute of a bare state_dict.
_KEY = 'swin_dense'


def metadata_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What `write_checkpoint` recorded in a checkpoint, or nothing."""
    found = _meta_of(checkpoint).get(_KEY) or getattr(checkpoint, _KEY, None)
    return dict(found) if isinstance(found, Mapping) else {}


def with_record(
    meta: Mapping[str, Any], record: Mapping[str, Any]
) -> dict[str, Any]:
    """Add to what the `meta` of a checkpoint has on record."""
    return {**meta, _KEY: {**metadata_of({'meta': meta}), **record}}


def _meta_of(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = checkpoint.get('meta')
    return meta if isinstance(meta, Mapping) else {}
