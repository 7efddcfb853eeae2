"""Recognise the kind of a file by its first bytes."""

import re
import zipfile
from pathlib import Path

from swin_dense.checkpoints.files.part_names import is_part
from swin_dense.wording import first_few

_HEAD = 1024  # bytes
_ZIP = b'PK\x03\x04'
# The start of files that are not checkpoints, and text that follows "FILE ".
_OTHERS = (
    (
        re.compile(rb'\s*<(!doctype html|html|head|!--|\?xml)', re.I),
        'is a web page, no checkpoint: the address was that of a page about '
        'the file, or of a log-in. Use the address of its download button (on '
        'Hugging Face .../resolve/..., on GitHub .../releases/download/...)',
    ),
    (
        re.compile(rb'version https://git-lfs'),
        'is a pointer that Git LFS left in place of the file: run `git lfs '
        'pull` in its repository, or download the file itself',
    ),
    (
        re.compile(rb'\x1f\x8b'),
        'is compressed by gzip: unpack it (gzip -d, or tar -xzf) and give the '
        'checkpoint inside',
    ),
    (
        re.compile(rb'(?s).{257}ustar'),
        'is a tar archive: unpack it (tar -xf) and give the checkpoint '
        'inside. If it is itself a checkpoint of PyTorch before 0.2, ask its '
        'publisher for one of a newer PyTorch',
    ),
    (
        re.compile(rb'\x89HDF'),
        'is an HDF5 file, of Keras or TensorFlow: only files of torch.save '
        'and safetensors are read',
    ),
    (
        re.compile(rb'\s*\{\s*"'),
        'is text (JSON), no checkpoint: give the file with the weights, whose '
        'name ends in .pth, .bin or .safetensors',
    ),
)


def is_safetensors(path: Path) -> bool:
    """Return True if a file starts as safetensors do: a length, then JSON."""
    head = _head(path)
    length = int.from_bytes(head[:8], 'little')
    return head[8:9] == b'{' and length < 1 << 40


def is_archive(path: Path) -> bool:
    """Return True if a file is an archive, as PyTorch writes since 1.6."""
    return _head(path).startswith(_ZIP)


def explain_other(path: Path) -> str:
    """Explain why a file is not a checkpoint, and what to do about it.

    Returns:
        Text to follow the file's name; '' if it may be a checkpoint.
    """
    head = _head(path)
    for start, text in _OTHERS:
        if start.match(head):
            return text
    return _explain_archive(path) if head.startswith(_ZIP) else ''


def _explain_archive(path: Path) -> str:
    """Explain why a zip archive is not a checkpoint; see `explain_other`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # the reader reports a broken archive
        return ''
    base_names = {name.rpartition('/')[2] for name in names}
    if 'constants.pkl' in base_names:
        return (
            'is a TorchScript program, no checkpoint: ask its publisher for '
            'the weights alone, torch.save(model.state_dict(), FILE)'
        )
    if 'data.pkl' in base_names or any(map(is_part, names)):
        return ''
    return (
        f'is a zip archive of {len(names)} files ({first_few(names, 3)}): '
        'unpack it and give the checkpoint inside'
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with open(path, 'rb') as file:
        return file.read(_HEAD)
