"""Chunks fit a cache, and each worker has as many."""

import pytest
import torch

pytest.importorskip('swin_dense.kernels.cpu', reason='CPU kernels are absent')
from swin_dense.kernels.cpu import chunks as module  # noqa: E402
from swin_dense.kernels.cpu.sums import Sums  # noqa: E402

slices = module.slices
cut_chunks, num_chunks = module.cut_chunks, module.num_chunks


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_small_batches_are_one_chunk():
    assert num_chunks(16, 1024, torch.float32) == 1


@pytest.mark.parametrize('rows', [1001, 10_000, 66_800])
@pytest.mark.parametrize(
    'training, mebibytes', [(False, 4), (True, 2)], ids=['test', 'train']
)
def test_chunks_fit_and_their_number_is_even(rows, training, mebibytes):
    chunks = cut_chunks(rows, 384, torch.float32, training)
    longest = max(chunk.stop - chunk.start for chunk in chunks)
    assert longest * 384 * 4 <= mebibytes * 2**20 + 384 * 4
    assert len(chunks) % 2 == 0


def test_many_workers_share_the_cache(monkeypatch):
    monkeypatch.setattr(module, 'num_workers', lambda: 8)
    rows = 16 * 8 * 2**20 // (384 * 4)  # 16 chunks for each worker
    for training in (False, True):
        assert num_chunks(rows, 384, torch.float32, training) == 64


def test_no_more_chunks_than_rows():
    assert num_chunks(1, 2**20, torch.float64) == 1


def test_slices_cover_all_rows():
    assert slices(7, 3) == [slice(0, 2), slice(2, 4), slice(4, 7)]


def test_sums_add_up_whoever_comes_first():
    big, small = torch.tensor([2.0**24]), torch.tensor([1.0])
    totals = []
    for order in ((0, 1), (1, 0)):
        sums = Sums()
        for worker in order:
            for value in (big, -big) if worker else (small, small):
                sums.add(worker, 'bias', value.clone())
        totals.append(sums.total('bias', torch.float64))
    assert totals[0].item() == totals[1].item() == 2
    assert totals[0].dtype == torch.float64
    assert sums.total('other', torch.float32) is None


def test_sums_of_products():
    sums = Sums()
    a, b = torch.ones(2, 3), torch.ones(3, 4)
    for worker in (0, 0, 1):
        sums.add_product(worker, 'weight', a, b)
    assert sums.total('weight', torch.float32).tolist() == [[9.0] * 4] * 2


def test_training_cuts_large_results_only():
    rows = module.WHOLE_BYTES // (384 * 4)
    assert module.cut_large(rows, 384, torch.float32) == [slice(0, rows)]
    chunks = module.cut_large(rows + 1, 384, torch.float32)
    assert chunks == cut_chunks(rows + 1, 384, torch.float32, training=True)
    assert len(chunks) > 8
