"""Read the several files of a checkpoint of Swin-MoE as one.

The official code writes a file for each process, which is published as a zip
archive of these files. Files are unpacked one by one into a temporary folder,
under names of this module: names in the archive are never used as paths.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from swin_dense.checkpoints.errors import CheckpointError, MalformedError
from swin_dense.checkpoints.files.archives import locate_records
from swin_dense.checkpoints.files.join_experts import join_experts
from swin_dense.checkpoints.files.part_names import PART
from swin_dense.checkpoints.files.sniff import is_archive
from swin_dense.wording import first_few

# Reads a file as a checkpoint; the second argument is its name for errors.
ReadPart = Callable[[Path, str], dict[str, Any]]
_LISTED = 4


class Parts(NamedTuple):
    """The files of a checkpoint.

    Attributes:
        names: Names of the files.
        is_archived: True if they are in a zip archive.
    """

    names: tuple[str, ...]
    is_archived: bool

    def join(self, path: Path, read: ReadPart) -> dict[str, Any]:
        """Return the content of all files as one checkpoint.

        Args:
            path: The zip archive, or one of the files.
            read: Function that reads a file.

        Raises:
            CheckpointError: If a file is absent, or the experts in the files
                do not fit each other.
            LimitError: If the files would take too much memory.
            MalformedError: If the archive is damaged.
        """
        stem, ranks, rest = _sort(path, self.names)
        with _opened(path, self) as open_part:

            def content(name: str) -> dict[str, Any]:
                with open_part(name) as part:
                    return read(part, name)

            if rest.endswith('.global'):
                return content(rest)
            # A generator, so that a file is read after the one before it was
            # deleted.
            experts = (content(name) for name in ranks)
            return join_experts(f'{path} ({stem})', content(rest), experts)


def find_parts(path: Path) -> Parts | None:
    """Return the files of a checkpoint; None if the file is no such one.

    Args:
        path: A file: a zip archive of the files, or one of them, which are
            then in the same folder.
    """
    if is_archive(path):
        try:
            with zipfile.ZipFile(path) as archive:
                names = [n for n in archive.namelist() if not n.endswith('/')]
        except Exception:  # the reader reports a broken archive
            return None
        if any(PART.match(name) for name in names):
            return Parts(tuple(names), True)
    match = PART.match(path.name)
    if match is None:
        return None
    others = [PART.match(other.name) for other in path.parent.iterdir()]
    beside = [other[0] for other in others if other]
    same = [name for name in beside if PART.sub(r'\1', name) == match['stem']]
    return Parts(tuple(sorted(same)), False)


def _sort(path: Path, names: tuple[str, ...]) -> tuple[str, list[str], str]:
    """Return the stem of all names, those of the ranks, and the other one.

    Raises:
        CheckpointError: If a file is absent, or files are of several models.
    """
    matches = [match for match in map(PART.match, names) if match]
    others = [name for name in names if not PART.match(name)]
    stems = sorted({match['stem'] for match in matches})
    if len(stems) > 1:
        raise CheckpointError(
            f'{path} holds files of several models: '
            f'{first_few(stems, _LISTED)}. Give one with the files of one '
            'model'
        )
    if others:
        raise CheckpointError(
            f'{path} holds files of a Swin-MoE ({names[0]}), and others that '
            f'are not expected beside them: {first_few(others, _LISTED)}'
        )
    stem = stems[0]
    whole = [match[0] for match in matches if match['rank'] is None]
    numbered = {int(m['rank']): m[0] for m in matches if m['rank'] is not None}
    if whole == [f'{stem}.global'] and not numbered:
        return stem, [], whole[0]
    if whole != [f'{stem}.master']:
        raise CheckpointError(
            f'{path} lacks {stem}.master, the file with all parameters but '
            f'experts; it has {first_few(names, _LISTED)}'
        )
    absent = [
        f'{stem}.rank{r}'
        for r in range(max(numbered, default=-1) + 1)
        if r not in numbered
    ]
    if absent:
        raise CheckpointError(
            f'{path} lacks {len(absent)} of the files with experts: '
            f'{first_few(absent, _LISTED)}. Each process of the training '
            'wrote one: copy or download them again'
        )
    return stem, [numbered[r] for r in sorted(numbered)], whole[0]


@contextmanager
def _opened(path: Path, parts: Parts) -> Iterator[Callable[[str], Any]]:
    """Yield a function that returns a context with the path of a file."""
    if not parts.is_archived:

        @contextmanager
        def beside(name: str) -> Iterator[Path]:
            yield path.parent / name

        yield beside
        return
    with (
        open(path, 'rb') as file,
        zipfile.ZipFile(file) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        records: Mapping[str, Any] = locate_records(path, file, archive)

        @contextmanager
        def unpacked(name: str) -> Iterator[Path]:
            if name not in records:
                raise MalformedError(f'it lacks its record {name}')
            target = Path(folder, 'part.pth')
            try:
                # The archive's own size and checksum are compared.
                with archive.open(name) as source, open(target, 'wb') as out:
                    shutil.copyfileobj(source, out)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise MalformedError(f'its record {name}: {error}') from error
            try:
                yield target
            finally:
                target.unlink()

        yield unpacked
