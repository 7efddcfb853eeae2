"""The newest intact checkpoint is found to resume from."""

import os
import struct

import pytest
import torch

from helpers.saved_runs import changed, copy_checkpoint
from swin_dense.checkpoints.errors import CheckpointError
from swin_dense.engine.resume import find_latest


def test_newest_intact_checkpoint_is_found(reference, tmp_path):
    assert find_latest(tmp_path) is None
    copy_checkpoint(reference / 'iter_5.pth', tmp_path / 'iter_5.pth', age=30)
    copy_checkpoint(
        reference / 'iter_10.pth', tmp_path / 'iter_10.pth', age=20
    )
    assert find_latest(tmp_path) == tmp_path / 'iter_10.pth'
    pointer = tmp_path / 'last_checkpoint'
    # The folder has moved since.
    pointer.write_text('/somewhere/else/iter_5.pth')
    assert find_latest(tmp_path).name == 'iter_10.pth'
    # A file of an earlier run got further, but is older.
    pointer.write_text(str(tmp_path / 'iter_5.pth'))
    os.utime(tmp_path / 'iter_10.pth', ns=(0, 0))
    assert find_latest(tmp_path).name == 'iter_5.pth'
    pointer.write_text('')
    assert find_latest(tmp_path).name == 'iter_5.pth'
    copy_checkpoint(
        reference / 'iter_20.pth', tmp_path / 'best_score_iter_20.pth', 0
    )
    torch.save({'layers.0.weight': torch.ones(1)}, tmp_path / 'init.pth')
    assert find_latest(tmp_path).name == 'iter_5.pth'
    whole = (reference / 'iter_20.pth').read_bytes()
    (tmp_path / 'iter_20.pth').write_bytes(whole[:-100])
    pointer.write_text(str(tmp_path / 'iter_20.pth'))
    assert find_latest(tmp_path).name == 'iter_5.pth'


def test_nothing_intact_is_an_error(reference, tmp_path):
    (tmp_path / 'iter_5.pth').write_bytes(b'PK')
    with pytest.raises(CheckpointError, match='iter_5.pth.*delete them'):
        find_latest(tmp_path)


def test_automatic_resume_passes_over_a_flipped_bit(saved, tmp_path, logged):
    for number in (5, 10):
        checkpoint = changed(saved, ('meta', 'iter'), number)
        torch.save(checkpoint, tmp_path / f'iter_{number}.pth')
    assert find_latest(tmp_path) == tmp_path / 'iter_10.pth'
    path = tmp_path / 'iter_10.pth'
    content = bytearray(path.read_bytes())
    weight = saved['state_dict']['layers.0.weight']
    place = content.index(struct.pack('<f', weight[0, 0]))
    content[place] ^= 1
    path.write_bytes(content)
    assert find_latest(tmp_path) == tmp_path / 'iter_5.pth'
    assert 'Skipped: ' in logged.text and 'checksum' in logged.text


@pytest.mark.parametrize('content', [b'\xff\xfe\x00', b'x' * 5000, b'a\0b'])
def test_pointer_of_any_content(saved, tmp_path, content):
    torch.save(saved, tmp_path / 'iter_5.pth')
    (tmp_path / 'last_checkpoint').write_bytes(content)
    assert find_latest(tmp_path) == tmp_path / 'iter_5.pth'
