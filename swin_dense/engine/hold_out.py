"""Choose the part of a user's data that validates a training."""

import hashlib
from collections.abc import Hashable, Sequence
from pathlib import Path


def hold_out(
    names: Sequence[str], groups: Sequence[Hashable], share: float
) -> list[bool]:
    """Choose a share of each group by the hash of the names.

    The choice is the same on every machine, and an item that is added later
    changes it little.

    Args:
        names: Name of each item, such as its file name.
        groups: Group of each item, such as its class.
        share: Share to hold out, above 0 and below 1.

    Returns:
        True for each item that is held out. A group of at least two items
        has an item on either side.

    Raises:
        ValueError: If the share is not between 0 and 1, or no group has two
            items.
    """
    if not 0 < share < 1:
        raise ValueError(
            f'--val-share {share:g} is not a share: expected is a number '
            'between 0 and 1, such as 0.1'
        )
    by_group: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        by_group.setdefault(group, []).append(index)
    held = [False] * len(names)
    for members in by_group.values():
        if len(members) < 2:
            continue
        members.sort(
            key=lambda index: hashlib.sha256(names[index].encode()).digest()
        )
        number = min(max(1, round(share * len(members))), len(members) - 1)
        for index in members[:number]:
            held[index] = True
    if not any(held):
        raise ValueError(
            f'{len(names)} items are too few to hold some out for the '
            'validation: give validation data with --val, which may be the '
            'training data for a try'
        )
    return held


def describe_held_out(
    count: str, source: Path, share: str, listing: Path | str
) -> str:
    """Return a sentence on the items that `hold_out` has chosen.

    Args:
        count: Number and name of the items, such as '3 images'.
        source: Where the items are from.
        share: Their share, in words.
        listing: File that lists them.
    """
    return (
        f'no --val: {count} of {source}, {share}, are held out, always the '
        f'same; {listing} lists them'
    )
