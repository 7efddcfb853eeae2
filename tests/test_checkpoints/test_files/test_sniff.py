"""Files that are not checkpoints are named."""

import io
import zipfile

import pytest

from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.checkpoints.files.read import read_checkpoint


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w') as file:
        for name in names:
            file.writestr(name, b'1234')
    return content.getvalue()


@pytest.mark.parametrize(
    'content, message',
    [
        (b'<!DOCTYPE html><html>Not Found</html>', 'is a web page'),
        (b'\n<html lang="en"><head>', r'\.\.\./resolve/\.\.\.'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n',
            'run `git lfs pull`',
        ),
        (b'\x1f\x8b\x08\x00', 'gzip -d'),
        (b'\x89HDF\r\n', 'Keras'),
        (b'{\n  "architectures": ["SwinModel"]}', 'is text'),
        (
            archive('swin_moe/a.py', 'swin_moe/b.py'),
            r'is a zip archive of 2 files \(swin_moe/a.py, ',
        ),
        (archive('m/data.pkl', 'm/constants.pkl'), 'TorchScript'),
    ],
)
@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
def test_files_of_other_kinds_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f'{name} {message}|{message}'):
        read_checkpoint(path)
