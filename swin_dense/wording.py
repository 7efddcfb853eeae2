"""Parts of messages that all folders share."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def first_few(
    items: Iterable[Any], limit: int = 5, separator: str = ', '
) -> str:
    """Return the first items as text, and how many more there are.

    Args:
        items: Names, ids or other things with a short text.
        limit: Number of items to show.
        separator: Text between two items.

    Returns:
        Such as 'a, b', or 'a, b, c, d, e and 7 more'.
    """
    items = list(items)
    text = separator.join(map(str, items[:limit]))
    more = len(items) - limit
    return f'{text} and {more} more' if more > 0 else text


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun, such as 'no files', '1 file', '2 files'.

    Args:
        count: Number of things.
        singular: Noun for one thing.
        plural: Noun for several things; by default `singular` with an s.
    """
    if count == 1:
        return f'1 {singular}'
    return f'{count or "no"} {plural or singular + "s"}'


def did_you_mean(
    name: str, known: Iterable[str], cutoff: float = 0.6
) -> str | None:
    """Return the known name that is closest to a mistyped name, or None.

    Capitals and spaces at the ends do not count.

    Args:
        name: The mistyped name.
        known: Names to choose from.
        cutoff: Similarity that a name must reach, 0 to 1 (equal), as measured
            by `difflib`.
    """
    plain = {str(other).strip().casefold(): other for other in known}
    close = get_close_matches(name.strip().casefold(), plain, 1, cutoff)
    return plain[close[0]] if close else None


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return a clause with the known name that is closest, or with all.

    Args:
        name: The mistyped name.
        known: Names to choose from.

    Returns:
        Such as 'did you mean epochs?', or 'there are: a, b' if none is close.
    """
    known = list(known)
    closest = did_you_mean(name, known)
    if closest:
        return f'did you mean {closest}?'
    return f'there are: {first_few(sorted(known), 20)}'
