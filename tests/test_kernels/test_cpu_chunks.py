import pytest
import torch

chunks = pytest.importorskip('swin_dense.kernels.cpu.chunks')


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, 'CHUNK_BYTES', 3 * 8 * 4)  # 3 rows of 4


def test_chunks_cover_all_rows_once():
    x = torch.empty(8, 4, dtype=torch.float64)
    assert [(rows.start, rows.stop)
            for rows in chunks.iter_chunks(x, 4)] == [(0, 3), (3, 6), (6, 8)]


def test_a_chunk_has_at_least_one_row():
    assert len(list(chunks.iter_chunks(torch.empty(2, 4), 10**9))) == 2


def test_what_fits_one_chunk():
    x = torch.empty(4, 4, dtype=torch.float64)
    assert chunks.fits_one_chunk(x[:3], 4)
    assert not chunks.fits_one_chunk(x, 4)
    assert chunks.fits_one_chunk(x, 3)
