import copy
import pickle
from typing import NamedTuple

import torch

from swin_dense.ops import SizeCache


class Pair(NamedTuple):
    one: torch.Tensor
    other: tuple


def make(calls):

    def function(size, dtype=torch.float32):
        calls.append(size)
        return Pair(torch.ones(size, dtype=dtype), (torch.zeros(size), 'a'))

    return function


def test_results_are_kept_by_size_type_and_device():
    cache, calls = SizeCache(), []
    function = make(calls)
    first = cache.get(function, 2, device='cpu')
    assert cache.get(function, 2, device=torch.device('cpu')) is first
    on_meta = cache.get(function, 2, device='meta')
    assert on_meta.one.is_meta and on_meta.other[0].is_meta
    assert on_meta.other[1] == 'a'
    double = cache.get(function, 2, torch.float64, device='cpu')
    assert double.one.dtype == torch.float64
    assert calls == [2, 2, 2] and len(cache) == 3


def test_the_least_recently_used_is_forgotten():
    cache, calls = SizeCache(max_entries=2), []
    function = make(calls)
    for size in (1, 2, 1, 3, 1, 2):
        cache.get(function, size, device='cpu')
    assert calls == [1, 2, 3, 2] and len(cache) == 2


def test_none_is_kept_as_a_result():
    cache, calls = SizeCache(), []

    def nothing(size):
        calls.append(size)

    assert cache.get(nothing, 1, device='cpu') is None
    assert cache.get(nothing, 1, device='cpu') is None
    assert calls == [1]


def test_results_serve_training_after_inference_mode():
    cache = SizeCache()
    with torch.inference_mode():
        cache.get(make([]), 2, device='cpu')
    weight = torch.ones(2, requires_grad=True)
    (weight * cache.get(make([]), 2, device='cpu').one).sum().backward()
    assert weight.grad.tolist() == [1, 1]


def test_copies_start_empty():
    cache = SizeCache(max_entries=5)
    cache.get(torch.arange, 3, device='cpu')
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert len(other) == 0 and other.max_entries == 5
    assert len(cache) == 1
