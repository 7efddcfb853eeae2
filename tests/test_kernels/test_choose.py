"""Kernels are chosen by device, and the choice can be overruled."""

import numpy as np
import pytest
import torch

from helpers.kernel_sets import FOR_CPU, NAMES
from helpers.models import TWO_STAGES
from helpers.models import make as build
from swin_dense import kernels
from swin_dense.backbones import (
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
)
from swin_dense.kernels import triton as triton_kernels
from swin_dense.kernels.log import log_once
from swin_dense.ops import SizeCache

X = torch.zeros(1, 4, 4, 8)
has_cpu = pytest.mark.skipif(
    'cpu' not in kernels.available(), reason='no kernels for a CPU'
)


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    monkeypatch.delenv(kernels.VARIABLE, raising=False)
    log_once.cache_clear()


@has_cpu
def test_a_cpu_has_separate_kernels(logged):
    assert kernels.choose(X).name == 'cpu'
    assert kernels.choose(X).name == 'cpu'
    lines = [line for line in logged.messages if 'kernels' in line]
    assert lines == ['kernels: cpu (float32 on cpu)']


@has_cpu
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_takes_them_too(dtype):
    with torch.autocast('cpu', dtype):
        assert kernels.choose(X).name == 'cpu'


def test_other_devices_take_the_plain_ones(logged):
    assert kernels.choose(X.to('meta')).name == 'plain'
    assert any('plain (float32 on meta)' in m for m in logged.messages)


@pytest.mark.parametrize('name', NAMES)
def test_compilers_take_what_they_can_trace(name):
    names = []

    def function(x):
        names.append(kernels.choose(x).name)
        return x + 1

    torch.compiler.reset()  # compiled code keeps its choice
    with kernels.use(name):
        torch.compile(function, backend='eager', fullgraph=True)(X)
        torch.jit.trace(function, X, check_trace=False)
    compiled = name if kernels.available()[name].can_be_compiled else 'plain'
    assert names == [compiled, 'plain']


def test_overruled_by_context_and_environment(monkeypatch, logged):
    monkeypatch.setenv(kernels.VARIABLE, 'plain')
    assert kernels.choose(X).name == 'plain'
    assert (
        'kernels: plain (float32 on cpu), as SWIN_DENSE_KERNELS asks for'
        in logged.messages
    )
    best = 'cpu' if 'cpu' in NAMES else 'plain'
    with kernels.use(best):
        assert kernels.choose(X).name == best
        with kernels.use('auto'):
            assert kernels.choose(X).name == best
        with kernels.use('plain'):
            assert kernels.choose(X).name == 'plain'
        assert kernels.choose(X).name == best
    assert kernels.choose(X).name == 'plain'


@has_cpu
@pytest.mark.parametrize(
    'cls, size',
    [
        (SwinTransformer, (32, 32)),
        (SwinTransformerV2, (32, 32)),
        (SwinTransformer3D, (4, 32, 32)),
    ],
)
def test_plain_kernels_use_none_of_the_others(monkeypatch, cls, size):
    """Merging and feed-forward networks included."""
    model = build(cls, TWO_STAGES, out_indices=(1,)).eval()
    cpu = kernels.available()['cpu']

    def refuse(self, *args):
        raise AssertionError('a kernel for a CPU was called')

    names = [name for name in vars(cpu) if callable(getattr(cpu, name))]
    assert 'linear' in names
    for name in set(names) - {'refuses'}:
        monkeypatch.setattr(cpu, name, refuse)
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        with kernels.use('plain'):
            model(x)
        with pytest.raises(AssertionError, match='was called'):
            model(x)


def test_unknown_names_are_refused(monkeypatch):
    with pytest.raises(
        ValueError,
        match="kernels.use must be one of .*plain or auto, got 'fast'",
    ):
        with kernels.use('fast'):
            pass
    monkeypatch.setenv(kernels.VARIABLE, 'fast')
    with pytest.raises(ValueError, match='SWIN_DENSE_KERNELS must be one of'):
        kernels.choose(X)


def test_sets_for_other_devices_must_be_asked_for(logged):
    """Triton's interpreter works on a CPU, and so does the set for CUDA."""
    for name in ('triton', 'cuda'):
        if name in NAMES:
            with kernels.use(name):
                assert kernels.choose(X).name == name
    assert kernels.choose(X).name in FOR_CPU


def test_triton_says_why_it_cannot_work(monkeypatch):
    triton = kernels.available()['triton']
    assert triton.refuses(X.double().to('meta')) == (
        'torch.float64 is not a type of its operator'
    )
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)
    with (
        kernels.use('triton'),
        pytest.raises(
            ValueError,
            match='on cpu, where Triton only works in its interpreter',
        ),
    ):
        kernels.choose(X)
    monkeypatch.setattr(triton_kernels, 'find_spec', lambda name: None)
    triton_kernels.why_unusable.cache_clear()
    assert triton.refuses(X.to('meta')) == (
        'Triton is not installed (pip install triton)'
    )
    triton_kernels.why_unusable.cache_clear()


def test_a_program_that_fails_names_the_versions(monkeypatch):
    triton = pytest.importorskip('triton')
    from swin_dense.kernels.triton import operator

    if operator.IS_COMPILED:
        pytest.skip('programs are compiled, not interpreted')

    def fail(x):
        raise TypeError('no scalar')

    monkeypatch.setattr(operator, 'copy', fail)
    triton_kernels.why_unusable.cache_clear()
    assert kernels.available()['triton'].refuses(X) == (
        f'Triton {triton.__version__} cannot run a program in its interpreter '
        f"with NumPy {np.__version__} (TypeError('no scalar'))"
    )
    triton_kernels.why_unusable.cache_clear()


@has_cpu
def test_kernels_that_cannot_work_say_why():
    message = "kernels.use asks for the kernels 'cpu', .* tensor is on meta"
    with kernels.use('cpu'), pytest.raises(ValueError, match=message):
        kernels.choose(X.to('meta'))


def test_a_pyramid_chooses_once(monkeypatch):
    model, chosen = SwinTransformer(**TWO_STAGES, out_indices=(1,)), []
    choose = kernels.choose

    def counted(x, cache=None):
        chosen.append(cache)
        return choose(x, cache)

    for module in (
        'backbones.base',
        'layers.stage',
        'layers.block',
        'layers.patch',
        'layers.feedforward',
    ):
        monkeypatch.setattr(f'swin_dense.{module}.choose', counted)
    model(torch.randn(1, 3, 32, 32))
    assert len(chosen) == 1 and isinstance(chosen[0], SizeCache)
