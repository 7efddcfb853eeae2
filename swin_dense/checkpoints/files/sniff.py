"""Telling by its first bytes what kind of file one is, whatever its name."""

import re
import zipfile
from pathlib import Path

_HEAD = 1024  # bytes
_ZIP = b'PK\x03\x04'
# What the start of a file says, and what to do about such a file.
_OTHERS = (
    (
        re.compile(rb'\s*<(!doctype html|html|head|!--|\?xml)', re.I),
        'is a web page, no checkpoint: the address was that of a page about '
        'the '
        'file, or of a log-in. Use the address of its download button (on '
        'Hugging Face .../resolve/..., on GitHub .../releases/download/...)',
    ),
    (
        re.compile(rb'version https://git-lfs'),
        'is a pointer that Git LFS left in place of the file: run `git lfs '
        'pull` in its repository, or download the file itself',
    ),
    (
        re.compile(rb'\x1f\x8b'),
        'is compressed by gzip: unpack it (gzip -d, or '
        'tar -xzf) and give the checkpoint inside',
    ),
    (
        re.compile(rb'(?s).{257}ustar'),
        'is a tar archive: unpack it (tar -xf) '
        'and give the checkpoint inside. If it is itself a checkpoint, of '
        'PyTorch before 0.2, have its maker save it with a newer one',
    ),
    (
        re.compile(rb'\x89HDF'),
        'is an HDF5 file, of Keras or TensorFlow: only files of torch.save '
        'and '
        'safetensors are read',
    ),
    (
        re.compile(rb'\s*\{\s*"'),
        'is text (JSON), no checkpoint: give the file with the weights, whose '
        'name ends in .pth, .bin or .safetensors',
    ),
)


def is_safetensors(path: Path) -> bool:
    """Whether a file starts as safetensors do: a length, then JSON."""
    head = _head(path)
    length = int.from_bytes(head[:8], 'little')
    return head[8:9] == b'{' and length < 1 << 40


def is_archive(path: Path) -> bool:
    """Whether a file is of the kind that PyTorch writes since 1.6."""
    return _head(path).startswith(_ZIP)


def explain_other(path: Path) -> str:
    """What a file is that is no checkpoint, and what to do; else nothing."""
    head = _head(path)
    for start, text in _OTHERS:
        if start.match(head):
            return text
    return _explain_archive(path) if head.startswith(_ZIP) else ''


def _explain_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a broken one can fail anywhere: reading says so
        return ''
    leaves = {name.rpartition('/')[2] for name in names}
    if 'constants.pkl' in leaves:
        return (
            'is a TorchScript program, no checkpoint: have its maker save '
            'the weights alone, torch.save(model.state_dict(), FILE)'
        )
    if 'data.pkl' in leaves:
        return ''
    inside = ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
    return (
        f'is a zip archive of {len(names)} files ({inside}): unpack it '
        'and give the checkpoint inside'
    )


def _head(path: Path) -> bytes:
    with open(path, 'rb') as file:
        return file.read(_HEAD)
