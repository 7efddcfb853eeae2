"""Why listed files are not where they are looked for."""

import os
import re
from collections.abc import Sequence

# An absolute path of Windows, or one of its network.
DRIVE = re.compile(r'([A-Za-z]:|\\)[\\/]')
# A tree with more files than this is not searched to its end.
MAX_LISTED = 1_000_000


def _names_below(folder: str) -> set[str]:
    """Return the names of the files in a folder and all below it."""
    names: set[str] = set()
    for _, _, files in os.walk(folder):
        names.update(files)
        if len(names) > MAX_LISTED:
            break
    return names


def _listed(path: str, folder: str) -> str:
    """Return a path as it was listed, before it was joined to a folder."""
    start = os.path.join(folder, '')
    return path[len(start) :] if path.startswith(start) else path


def _find_causes(names: Sequence[str], folder: str) -> list[str]:
    """Return what is odd about names of files, and what to do."""
    last = os.path.basename(os.path.normpath(folder))
    causes: list[tuple[str, list[bool]]] = [
        (
            'are absolute paths, perhaps of another machine: list them '
            'relative '
            'to the folder',
            [bool(os.path.isabs(n) or DRIVE.match(n)) for n in names],
        ),
        (
            'hold backslashes, as Windows writes paths: replace each \\ by /',
            ['\\' in name for name in names],
        ),
        (
            f'begin with {last!r}, the name of the folder itself: leave it '
            'out '
            'of the list or of the folder',
            [re.split(r'[\\/]', name)[0] == last for name in names],
        ),
        (
            'have their ending twice: the list is of names without it',
            [
                len({*name.rsplit('.', 2)[1:]}) == 1 and name.count('.') > 1
                for name in names
            ],
        ),
    ]
    return [
        f'{sum(odd)} names {text}'
        for text, odd in causes
        if sum(odd) > len(names) / 2
    ]


def explain_absent(paths: Sequence[str], folder: str) -> str:
    """Say why files may not be found, and how many have known names.

    Args:
        paths: Where the files are not.
        folder: What was put before their listed names.

    Returns:
        Sentences to follow a message; '' if nothing is known.
    """
    names = [_listed(path, folder) for path in paths]
    sentences = _find_causes(names, folder)
    there = _names_below(folder)
    bare = [re.split(r'[\\/]', name)[-1] for name in names]
    found = sum(name in there for name in bare)
    if found:
        shared = len(bare) - len({*bare})
        note = f' ({shared} names are not unique)' if shared else ''
        sentences.append(
            f'By name alone, without folders, {found} of '
            f'{len(names)} are in or below {folder}{note}'
        )
    else:
        alike = {name.casefold() for name in there}
        found = sum(name.casefold() in alike for name in bare)
        if found:
            sentences.append(
                f'{found} of {len(names)} are there but for capital letters'
            )
    return ''.join(f'. {text}' for text in sentences)
