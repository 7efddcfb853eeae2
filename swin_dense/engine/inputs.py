"""Files that a command line names, and where its results go."""
import glob
import os
import sys
from pathlib import Path
from typing import Callable, Dict, List, Sequence

from swin_dense.datasets.decoders import PICTURES
from swin_dense.datasets.video_lists import VIDEOS

__all__ = [
    'check_outputs', 'drawn_name', 'find_images', 'find_videos',
    'name_outputs', 'report_bad'
]

DRAWN_AS = ('.jpg', '.jpeg', '.png')


def find_images(inputs: Sequence[str]) -> List[Path]:
    """The image files of paths, folders and patterns, each once.

    Raises:
        FileNotFoundError: If an input leads to no image.
    """
    return _find(inputs, PICTURES, 'image')


def find_videos(inputs: Sequence[str]) -> List[Path]:
    """The videos of paths, folders and patterns, each once.

    A folder that holds images and no videos is a video itself.

    Raises:
        FileNotFoundError: If an input leads to no video.
    """
    found: Dict[Path, Path] = {}
    for entry in inputs:
        path = Path(entry)
        if path.is_dir() and not _inside(path, VIDEOS) and _inside(
                path, PICTURES):
            found.setdefault(path.resolve(), path)
            continue
        for file in _find([entry], VIDEOS, 'video'):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _find(inputs: Sequence[str], suffixes: Sequence[str],
          what: str) -> List[Path]:
    found: Dict[Path, Path] = {}
    for entry in inputs:
        path = Path(entry)
        if path.is_dir():
            files = _inside(path, suffixes)
        elif path.is_file():
            files = [path]
        else:
            files = [
                Path(match)
                for match in sorted(glob.glob(entry, recursive=True))
                if _is_file(Path(match), suffixes)
            ]
        if not files:
            raise FileNotFoundError(
                f'{entry}: no {what} there; expected a file, a folder or a '
                f'pattern that leads to {", ".join(suffixes)}')
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _inside(folder: Path, suffixes: Sequence[str]) -> List[Path]:
    return sorted(p for p in folder.iterdir() if _is_file(p, suffixes))


def _is_file(path: Path, suffixes: Sequence[str]) -> bool:
    return path.is_file() and path.suffix.lower() in suffixes


def drawn_name(name: Path) -> Path:
    """The name of a picture of an image; other formats gain a `.png`."""
    if name.suffix.lower() in DRAWN_AS:
        return name
    return name.with_name(f'{name.name}.png')


def name_outputs(inputs: Sequence[Path],
                 out: Path,
                 rename: Callable[[Path], Path] = drawn_name) -> List[Path]:
    """A path for the result of each input, none twice.

    Results are named as their inputs; where two inputs share a name, all keep
    their folders below the one that holds them all.

    Args:
        inputs: Files.
        out: Folder for the results.
        rename: The name of a result, from that of its input.

    Raises:
        ValueError: If a result would overwrite an input.
    """
    names = [Path(entry.name) for entry in inputs]
    if len(set(map(rename, names))) < len(names):
        files = [entry.absolute() for entry in inputs]
        top = os.path.commonpath([file.parent for file in files])
        names = [file.relative_to(top) for file in files]
    results = [out / rename(name) for name in names]
    check_outputs(results, inputs)
    return results


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise if a file would overwrite an input, or another file."""
    sources = {entry.resolve() for entry in inputs}
    for output in outputs:
        if output.resolve() in sources:
            raise ValueError(f'{output} would overwrite the input of this '
                             'name: give another folder by --out')
    if len({*outputs}) < len(outputs):
        raise ValueError('some results would overwrite others: predict the '
                         'folders one by one')


def report_bad(bad: Sequence[str], count: int, what: str, skip: bool) -> int:
    """Print what could not be read; the exit status if that may be.

    Args:
        bad: A sentence for each such input.
        count: How many inputs there were.
        what: What they are, such as 'images'.
        skip: Whether bad ones may be skipped.

    Raises:
        ValueError: There are any, and they may not.
    """
    for problem in bad:
        print(f'skipped: {problem}', file=sys.stderr)
    if bad and not skip:
        raise ValueError(
            f'{len(bad)} of {count} {what} could not be read, see above; '
            'the results of the others are complete. --skip-bad accepts this')
    return 0
