"""Records of an archive are checked against their checksums."""

import struct

import pytest
import torch

from helpers.pickled import refusal
from swin_dense.checkpoints.files.read import read_checkpoint


@pytest.mark.parametrize('mmap', [False, True])
def test_a_flipped_bit_is_noticed(tmp_path, mmap):
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(w=torch.ones(2000))), path)
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack('<f', 1) * 9) + 400
    content[place] ^= 1
    path.write_bytes(content)
    text = refusal(path, mmap=mmap)
    assert 'data/0' in text or 'its record 0 ' in text
    assert 'checksum' in text
    # Entries that are left out are not read.
    assert read_checkpoint(path, mmap=mmap, without=['state_dict']) == {}
    assert read_checkpoint(path, mmap=True, check=False)
