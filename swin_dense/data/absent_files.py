"""Explain why the files of a list are not found."""

import os
import re
from collections.abc import Sequence

# An absolute path of Windows: with a drive letter, or of a network share.
DRIVE = re.compile(r'([A-Za-z]:|\\)[\\/]')
# The search of a folder stops after this many files.
MAX_LISTED = 1_000_000


def _names_below(folder: str) -> set[str]:
    """Return the names of all files in a folder and its subfolders."""
    names: set[str] = set()
    for _, _, files in os.walk(folder):
        names.update(files)
        if len(names) > MAX_LISTED:
            break
    return names


def _listed(path: str, folder: str) -> str:
    """Return the path relative to `folder`, as the list has it."""
    start = os.path.join(folder, '')
    return path[len(start) :] if path.startswith(start) else path


def _find_causes(names: Sequence[str], folder: str) -> list[str]:
    """Return likely mistakes in the listed names, each with its remedy.

    A mistake is reported if more than half of the names show it.
    """
    last = os.path.basename(os.path.normpath(folder))
    causes: list[tuple[str, list[bool]]] = [
        (
            'are absolute paths, perhaps of another machine: list them '
            'relative to the folder',
            [bool(os.path.isabs(n) or DRIVE.match(n)) for n in names],
        ),
        (
            'contain backslashes, as Windows writes paths: replace each \\ '
            'by /',
            ['\\' in name for name in names],
        ),
        (
            f'begin with {last!r}, the name of the folder itself: leave it '
            'out of the list or of the folder',
            [re.split(r'[\\/]', name)[0] == last for name in names],
        ),
        (
            'have their file suffix twice: list names without the suffix',
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
    """Explain why files may be missing, from their names and the folder.

    Args:
        paths: The missing files.
        folder: The folder that the listed names were joined to.

    Returns:
        Sentences to append to a message, each beginning with '. '; '' if no
        explanation is known.
    """
    names = [_listed(path, folder) for path in paths]
    sentences = _find_causes(names, folder)
    present = _names_below(folder)
    bare = [re.split(r'[\\/]', name)[-1] for name in names]
    num_present = sum(name in present for name in bare)
    if num_present:
        shared = len(bare) - len({*bare})
        note = f' ({shared} names are not unique)' if shared else ''
        sentences.append(
            f'By name alone, without folders, {num_present} of '
            f'{len(names)} are in or below {folder}{note}'
        )
    else:
        lower = {name.casefold() for name in present}
        num_alike = sum(name.casefold() in lower for name in bare)
        if num_alike:
            sentences.append(
                f'{num_alike} of {len(names)} exist with other capital letters'
            )
    return ''.join(f'. {text}' for text in sentences)
