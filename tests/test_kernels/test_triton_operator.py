"""The operator in Triton as PyTorch's compilers and autograd see it."""

from contextlib import contextmanager

import pytest
import torch

from swin_dense.kernels import AttentionTerms, PlainKernels
from swin_dense.kernels.triton import TritonKernels, why_unusable
from swin_dense.ops import SizeCache, WindowLayout

DEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'
OBSTACLE = why_unusable(DEVICE, None)
pytestmark = pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))
LAYOUT = WindowLayout((2, 3), (2, 2), (1, 1), 'roll', False, -100.0)
HEADS, CHANNELS = 2, 32


@pytest.fixture
def operator():
    from swin_dense.kernels.triton import operator

    return operator


def make_inputs(batch=1, device=DEVICE):
    """Queries, keys and values; position bias; padding; factor of cosines."""
    return [
        x.to(device).requires_grad_()
        for x in (
            torch.randn(batch, *LAYOUT.grid, 3 * CHANNELS),
            torch.randn(HEADS, 4, 4),
            torch.randn(3 * CHANNELS),
            torch.rand(HEADS, 1, 1) * 8,
        )
    ]


def attend(qkv, bias, padding, cosine, kernel_set=TritonKernels):
    terms = AttentionTerms(bias, padding, 1.0, cosine)
    return kernel_set(SizeCache()).window_attention(qkv, LAYOUT, terms)


def arguments(operator, inputs):
    qkv, bias, padding, cosine = inputs
    settings = [2, 2], [1, 1], 1.0, -100.0, False
    return qkv, bias, padding, cosine.detach().flatten(), *settings


# Schema, gradients, fake implementation, and tracing of symbolic sizes.
CHECKS = ('test_schema', 'test_autograd_registration', 'test_faketensor')
TRACING = pytest.param('test_aot_dispatch_dynamic', marks=pytest.mark.slow)


@pytest.mark.parametrize('check', [*CHECKS, TRACING])
def test_what_pytorch_asks_of_an_operator(operator, check):
    inputs = arguments(operator, make_inputs(1))
    torch.library.opcheck(operator.window_attention, inputs, test_utils=check)
    grad = torch.randn(1, *LAYOUT.grid, CHANNELS, device=DEVICE)
    inputs = [x.detach() if torch.is_tensor(x) else x for x in inputs]
    torch.library.opcheck(
        operator.window_attention_backward, (grad, *inputs), test_utils=check
    )


@pytest.mark.parametrize('wanted', [(0,), (1,), (2, 3), (0, 1, 2, 3)])
def test_gradients_of_some_inputs(wanted):
    """Frozen parameters ask for none."""
    inputs = make_inputs()
    out = attend(*inputs)
    grad = torch.randn_like(out)
    expected = torch.autograd.grad(out, inputs, grad)
    for index, x in enumerate(inputs):
        x.requires_grad_(index in wanted)
    attend(*inputs).backward(grad)
    for index, x in enumerate(inputs):
        if index in wanted:
            assert torch.equal(x.grad, expected[index])
        else:
            assert x.grad is None


def test_gradients_are_the_same_each_time():
    inputs = make_inputs()
    out = attend(*inputs)
    grad = torch.randn_like(out)
    first = torch.autograd.grad(out, inputs, grad, retain_graph=True)
    again = torch.autograd.grad(out, inputs, grad)
    assert all(map(torch.equal, first, again))


def test_any_strides(operator):
    """A compiler may hand over inputs and gradients in other orders."""
    inputs = make_inputs()
    args = arguments(operator, inputs)
    tensors = [x.detach() for x in args[:4]]
    strided = [
        torch.stack([x, x.new_zeros(x.shape)], -1)[..., 0] for x in tensors
    ]
    strided[0] = tensors[0].mT.contiguous().mT
    assert not any(x.is_contiguous() for x in strided)
    grad = torch.randn(1, *LAYOUT.grid, CHANNELS, device=DEVICE)
    expected = operator.window_attention(*tensors, *args[4:])
    out = operator.window_attention(*strided, *args[4:])
    assert torch.equal(out, expected) and out.is_contiguous()
    backward = operator.window_attention_backward
    others = backward(grad, *tensors, *args[4:])
    results = backward(grad.mT.contiguous().mT, *strided, *args[4:])
    assert all(map(torch.equal, results, others))
    assert all(x.is_contiguous() for x in results)


def test_no_maps():
    inputs = make_inputs(batch=0)
    out = attend(*inputs)
    assert out.shape == (0, *LAYOUT.grid, CHANNELS)
    out.sum().backward()
    assert inputs[0].grad.shape == inputs[0].shape
    assert not any(x.grad.any() for x in inputs)


def test_cannot_be_differentiated_twice():
    inputs = make_inputs()
    [grad] = torch.autograd.grad(
        attend(*inputs).square().sum(), inputs[:1], create_graph=True
    )
    with pytest.raises(RuntimeError, match='no autograd formula'):
        grad.sum().backward()


def test_without_gradients():
    inputs = make_inputs()
    expected = attend(*inputs).detach()
    with torch.no_grad():
        assert torch.equal(attend(*inputs), expected)
    with torch.inference_mode():
        assert torch.equal(attend(*inputs), expected)


def test_other_types_and_masks_are_passed_on(logged):
    """The next set takes what the operator has not."""
    inputs = [x.detach().double() for x in make_inputs()]
    out = attend(*inputs)
    assert out.dtype == torch.float64
    torch.testing.assert_close(out, attend(*inputs, PlainKernels))
    assert 'attention without Triton: it has no torch.float64' in logged.text
    unshifted = LAYOUT._replace(shift=(0, 0), mask_shift=(1, 1))
    terms = AttentionTerms(inputs[1].float())
    out, expected = (
        kernel_set(SizeCache()).window_attention(
            inputs[0].float(), unshifted, terms
        )
        for kernel_set in (TritonKernels, PlainKernels)
    )
    torch.testing.assert_close(out, expected)
    assert 'masks are those of another shift' in logged.text


@pytest.mark.parametrize('switch', ['allow_tf32', 'fp32_precision'])
def test_tf32_by_either_switch(operator, switch):
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, switch):
        pytest.skip(f'this PyTorch has no {switch}')
    before = getattr(matmul, switch)
    values = {'allow_tf32': (True, False), 'fp32_precision': ('tf32', 'ieee')}
    try:
        for value, expected in zip(values[switch], (True, False)):
            setattr(matmul, switch, value)
            assert operator._allows_tf32() == expected
    finally:
        setattr(matmul, switch, before)


def test_limits_of_a_gpu_are_not_traced(operator, monkeypatch):
    """A compiler could not trace the calls of the driver."""
    limits = operator._device_limits
    asked = []

    @torch.compiler.disable
    def ask(device):
        asked.append(device)
        return limits(device)

    monkeypatch.setattr(operator, '_device_limits', ask)
    torch.compiler.reset()
    compiled = torch.compile(attend, backend='eager', fullgraph=True)
    inputs = make_inputs()
    torch.testing.assert_close(compiled(*inputs), attend(*inputs))
    assert asked


def test_programs_run_where_the_map_is(operator, monkeypatch):
    """Triton would launch on the current GPU, whatever the tensors."""
    devices = []

    @contextmanager
    def switch(x):
        devices.append(x.device.type)
        yield

    monkeypatch.setattr(operator, '_current_device', switch)
    attend(*make_inputs()).sum().backward()
    assert devices == [DEVICE] * 2


@pytest.mark.cuda
def test_on_the_second_gpu():
    if torch.cuda.device_count() < 2:
        pytest.skip('needs two GPUs')
    inputs = make_inputs(device='cuda:1')
    out = attend(*inputs)
    grad = torch.randn_like(out)
    expected = attend(*inputs, PlainKernels)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(
        torch.autograd.grad(out, inputs, grad),
        torch.autograd.grad(expected, inputs, grad),
    )
