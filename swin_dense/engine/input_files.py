"""Find the input files of a command line, and name its output files."""

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
# Errors that an image or a video can cause in a pipeline or a model.
FAILURES = (
    ValueError,
    ArithmeticError,
    AssertionError,
    IndexError,
    MemoryError,
    RuntimeError,
    cv2.error,
)
# Longest file name in nearly every file system, in bytes.
MAX_NAME = 255


def find_images(inputs: Sequence[str]) -> list[Path]:
    """List the images of paths, folders and patterns, each once.

    A named pipe or a broken link with the name of an image is listed, too;
    the error of reading it says what it is.

    Raises:
        FileNotFoundError: If an input leads to no image.
    """
    return _find(inputs, PICTURES, 'image')


def find_videos(inputs: Sequence[str]) -> list[Path]:
    """List the videos of paths, folders and patterns, each once.

    A folder of images without videos counts as a video.

    Raises:
        FileNotFoundError: If an input leads to no video.
    """
    files_by_place: dict[str, Path] = {}
    for entry in inputs:
        if (
            os.path.isdir(entry)
            and not _inside(entry, VIDEOS)
            and _inside(entry, PICTURES)
        ):
            files_by_place.setdefault(os.path.realpath(entry), Path(entry))
            continue
        for file in _find([entry], VIDEOS, 'video'):
            files_by_place.setdefault(os.path.realpath(file), file)
    return list(files_by_place.values())


def _find(
    inputs: Sequence[str], suffixes: Sequence[str], what: str
) -> list[Path]:
    files_by_place: dict[str, Path] = {}
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
            files_by_place.setdefault(os.path.realpath(file), file)
    return list(files_by_place.values())


def _inside(folder: str, suffixes: Sequence[str]) -> list[Path]:
    return sorted(
        path for path in Path(folder).iterdir() if _has_suffix(path, suffixes)
    )


def _has_suffix(path: str | Path, suffixes: Sequence[str]) -> bool:
    return Path(path).suffix.lower() in suffixes


def _matches(pattern: str) -> Iterator[str]:
    """Yield the paths that match a pattern, which may contain `**`.

    Unlike in `glob`, each folder is searched once, so that two links that
    lead back to a folder above do not make the search endless.
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
    """Return the name of an image's picture; add `.png` if needed."""
    if name.suffix.lower() in DRAWN_AS:
        return name
    return name.with_name(f'{name.name}.png')


def name_outputs(
    inputs: Sequence[Path],
    out: Path,
    rename: Callable[[Path], Path] = drawn_name,
) -> list[Path]:
    """Return a distinct path for the result of each input.

    A result has the name of its input. If two inputs share a name, all
    results keep the folders of their inputs below the common folder. See
    `distinct_paths` for names that are too long or that `rename` makes equal.

    Args:
        inputs: Input files.
        out: Folder for the results.
        rename: Function from the name of an input to the name of its result.

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

    A name that is too long or equal to another one is shortened and gets a
    digest of the old name. So it is the same in every run, whatever other
    files there are.

    Args:
        paths: Distinct paths.
        rename: Function from an old path to the new one.
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
    """Shorten a file name if needed, and append a digest of the old name."""
    digest = hashlib.sha256(os.fsencode(before)).hexdigest()[:8]
    end = f'-{digest}{path.suffix}'
    stem = os.fsencode(path.stem)[: MAX_NAME - len(os.fsencode(end))]
    return path.with_name(stem.decode(errors='ignore') + end)


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise if an output would overwrite an input or another output.

    Raises:
        ValueError: If one would.
    """
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
