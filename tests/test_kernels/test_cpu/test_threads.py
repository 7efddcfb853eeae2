"""Work is shared out among threads that compute alone."""

import os
import threading

import pytest
import torch

pytest.importorskip('swin_dense.kernels.cpu', reason='CPU kernels are absent')
from swin_dense.kernels.cpu import threads  # noqa: E402
from swin_dense.kernels.cpu.threads import num_workers, share_out  # noqa: E402


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_number_is_done_once_by_its_worker():
    done = [[], [], []]
    share_out(lambda worker, number: done[worker].append(number), 8)
    assert done == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_workers_are_threads_with_one_thread_each():
    seen, everyone_is_there = {}, threading.Barrier(3, timeout=60)

    def look(worker, number):
        everyone_is_there.wait()
        seen[threading.get_ident()] = torch.get_num_threads()

    share_out(look, 3)
    assert list(seen.values()) == [1, 1, 1]
    assert threading.get_ident() not in seen


def test_a_single_item_stays_in_the_calling_thread():
    seen = []
    share_out(lambda *_: seen.append(threading.get_ident()), 1)
    assert seen == [threading.get_ident()]


def test_threads_of_the_process_stay_as_set():
    share_out(lambda *_: None, 3)
    counts = [torch.get_num_threads()]
    thread = threading.Thread(
        target=lambda: counts.append(torch.get_num_threads())
    )
    thread.start()
    thread.join()
    assert counts == [3, 3]


def test_more_threads_than_workers_are_shared_among_them(monkeypatch):
    monkeypatch.setattr(threads, 'MAX_WORKERS', 2)
    torch.set_num_threads(6)
    counts = []
    share_out(lambda *_: counts.append(torch.get_num_threads()), 2)
    assert counts == [3, 3]


def test_workers_do_not_share_out_again():
    counts = []
    share_out(lambda *_: counts.append(num_workers()), 3)
    assert counts == [1, 1, 1]


@pytest.mark.parametrize('inference', [False, True])
def test_nothing_is_recorded_and_nothing_cast(inference):
    states = []

    def look(worker, number):
        states.append(
            (
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
                torch.is_autocast_enabled('cpu'),
            )
        )

    with torch.inference_mode(inference), torch.autocast('cpu'):
        share_out(look, 3)
    assert states == [(False, inference, False)] * 3


def test_an_error_is_raised_when_all_have_ended():
    done = []

    def fail(worker, number):
        if number == 1:
            raise ArithmeticError('of the second')
        done.append(number)

    with pytest.raises(ArithmeticError, match='of the second'):
        share_out(fail, 3)
    assert sorted(done) == [0, 2]


def test_operations_that_are_watched_stay_in_the_calling_thread():
    from torch.utils.flop_counter import FlopCounterMode

    a = torch.ones(4, 4)
    with FlopCounterMode(display=False) as counter:
        share_out(lambda *_: a @ a, 3)
    assert counter.get_total_flops() == 3 * 2 * 4**3


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
def test_a_forked_process_starts_threads_of_its_own():
    share_out(lambda *_: None, 3)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        share_out(lambda worker, _: os.write(writer, b'%d' % worker), 3)
        os._exit(0)
    os.waitpid(child, 0)
    assert sorted(os.read(reader, 3)) == sorted(b'012')
