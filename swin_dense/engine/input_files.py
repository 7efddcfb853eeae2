"""Files that a command line names, and where its results go."""

import glob
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2

from swin_dense.data.decoders.folder import PICTURES
from swin_dense.data.video_reader import VIDEOS
from swin_dense.engine.cli import printable

DRAWN_AS = ('.jpg', '.jpeg', '.png')
# What an image or a video can make a pipeline or a model raise.
FAILURES = (
    ValueError,
    ArithmeticError,
    AssertionError,
    IndexError,
    MemoryError,
    RuntimeError,
    cv2.error,
)
# Bytes that a name may have in nearly every file system.
MAX_NAME = 255


def find_images(inputs: Sequence[str]) -> list[Path]:
    """List the images of paths, folders and patterns, each once.

    What has the name of an image but is none, such as a named pipe or a
    broken link, is listed too: reading it says what it is.

    Raises:
        FileNotFoundError: If an input leads to no image.
    """
    return _find(inputs, PICTURES, 'image')


def find_videos(inputs: Sequence[str]) -> list[Path]:
    """List the videos of paths, folders and patterns, each once.

    A folder that holds images and no videos is a video itself.

    Raises:
        FileNotFoundError: If an input leads to no video.
    """
    found: dict[str, Path] = {}
    for entry in inputs:
        if (
            os.path.isdir(entry)
            and not _inside(entry, VIDEOS)
            and _inside(entry, PICTURES)
        ):
            found.setdefault(os.path.realpath(entry), Path(entry))
            continue
        for file in _find([entry], VIDEOS, 'video'):
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _find(
    inputs: Sequence[str], suffixes: Sequence[str], what: str
) -> list[Path]:
    found: dict[str, Path] = {}
    for entry in inputs:
        if os.path.isdir(entry):
            files = _inside(entry, suffixes)
        elif os.path.lexists(entry):
            files = [Path(entry)]
        else:
            files = [
                Path(match)
                for match in sorted({*_matches(entry)})
                if _has_suffix(match, suffixes)
            ]
        if not files:
            raise FileNotFoundError(
                f'{entry}: no {what} there; expected a file, a folder or a '
                f'pattern that leads to {", ".join(suffixes)}'
            )
        for file in files:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _inside(folder: str, suffixes: Sequence[str]) -> list[Path]:
    return sorted(
        path for path in Path(folder).iterdir() if _has_suffix(path, suffixes)
    )


def _has_suffix(path: str | Path, suffixes: Sequence[str]) -> bool:
    return Path(path).suffix.lower() in suffixes


def _matches(pattern: str) -> Iterator[str]:
    """Yield the paths that match a pattern, in which `**` may stand.

    Unlike by `glob`, a folder is searched once: with two links that lead
    back, there would be no end to it.
    """
    before, stars, after = pattern.partition(f'**{os.sep}')
    if not stars:
        yield from glob.iglob(pattern)
        return
    seen = set()
    for top in glob.iglob(before) if before else ['']:
        for folder, inner, _ in os.walk(top or '.', followlinks=True):
            place = os.path.realpath(folder)
            if place in seen:
                inner.clear()
                continue
            seen.add(place)
            inner[:] = sorted(name for name in inner if name[0] != '.')
            start = folder if top else os.path.relpath(folder)
            place = '' if start == '.' else glob.escape(start)
            yield from _matches(os.path.join(place, after))


def drawn_name(name: Path) -> Path:
    """The name of a picture of an image; other formats gain a `.png`."""
    if name.suffix.lower() in DRAWN_AS:
        return name
    return name.with_name(f'{name.name}.png')


def name_outputs(
    inputs: Sequence[Path],
    out: Path,
    rename: Callable[[Path], Path] = drawn_name,
) -> list[Path]:
    """Return a path for the result of each input, none twice.

    Results are named as their inputs; where two inputs share a name, all keep
    their folders below the one that holds them all. See `distinct_paths` for
    names that are too long, or that only `rename` makes the same.

    Args:
        inputs: Files.
        out: Folder for the results.
        rename: The name of a result, from that of its input.

    Raises:
        ValueError: If a result would overwrite an input.
    """
    names = [Path(entry.name) for entry in inputs]
    if len({*names}) < len(names):
        files = [Path(os.path.abspath(entry)) for entry in inputs]
        top = os.path.commonpath([file.parent for file in files])
        names = [file.relative_to(top) for file in files]
    results = distinct_paths([out / name for name in names], rename)
    check_outputs(results, inputs)
    return results


def distinct_paths(
    paths: Sequence[Path], rename: Callable[[Path], Path]
) -> list[Path]:
    """Rename files so that no two share a name and none is too long.

    A name that would be is shortened, and ends in a digest of the name before:
    it is the same in every run, whatever else there is.

    Args:
        paths: Paths, each once.
        rename: Returns the new path.
    """
    renamed = [rename(path) for path in paths]
    times = Counter(renamed)
    return [
        after
        if after == path
        or times[after] == 1
        and len(os.fsencode(after.name)) <= MAX_NAME
        else _with_digest(after, path.name)
        for path, after in zip(paths, renamed)
    ]


def _with_digest(path: Path, before: str) -> Path:
    """Put a digest of the name before at the end of a name that may be cut."""
    digest = hashlib.sha256(os.fsencode(before)).hexdigest()[:8]
    end = f'-{digest}{path.suffix}'
    stem = os.fsencode(path.stem)[: MAX_NAME - len(os.fsencode(end))]
    return path.with_name(stem.decode(errors='ignore') + end)


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise if a file would overwrite an input, or another file."""
    sources = {os.path.realpath(entry) for entry in inputs}
    for output in outputs:
        if os.path.realpath(output) in sources:
            raise ValueError(
                f'{output} would overwrite the input of this '
                'name: give another folder by --out'
            )
    if len({*outputs}) < len(outputs):
        raise ValueError(
            'some results would overwrite others: predict the '
            'folders one by one'
        )


def report_unreadable(
    bad: Sequence[str], count: int, what: str, skip: bool
) -> None:
    """Print why inputs could not be read, and raise unless they may be.

    Args:
        bad: A sentence for each unreadable input.
        count: Number of inputs.
        what: The kind of input, such as 'images'.
        skip: Whether unreadable inputs are accepted.

    Raises:
        ValueError: If there are unreadable inputs and `skip` is false.
    """
    for problem in bad:
        print(f'skipped: {printable(problem)}', file=sys.stderr)
    if bad and not skip:
        raise ValueError(
            f'{len(bad)} of {count} {what} could not be read, see above; '
            'the results of the others are complete. --skip-bad accepts this'
        )
