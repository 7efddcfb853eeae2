"""mmcv's wrappers on our operators against what compiled mmcv computed."""

import importlib.util
from pathlib import Path

import pytest
import torch

import swin_dense  # noqa: F401  stands in for mmcv's compiled half
from helpers.mmcv_reference import load, run

DATA = Path(__file__).parents[1] / 'data'
# Largest error of any output or gradient, relative to numbers above 1:
# sums are taken in another order.
TOLERANCE = 1e-5


def load_calls(name):
    """Return the calls of a script that records references, by operator."""
    spec = importlib.util.spec_from_file_location(name, DATA / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.CALLS.keys() == module.CASES.keys()
    return module.CALLS


CALLS = {
    **load_calls('make_mmcv_ops_reference'),
    **load_calls('make_mmcv_model_ops_reference'),
}
CASES = [
    pytest.param(operator, case, id=f'{operator}-{name}')
    for operator in CALLS
    for name, case in load(operator).items()
]


def check(operator, case, device):
    inputs = {name: value.to(device) for name, value in case['in'].items()}
    outputs = run(CALLS[operator], inputs, case['options'])
    assert outputs.keys() == case['out'].keys()
    for name, expected in case['out'].items():
        torch.testing.assert_close(
            outputs[name].cpu(),
            expected,
            rtol=TOLERANCE,
            atol=TOLERANCE,
            msg=lambda text, name=name: f'{name}: {text}',
        )


@pytest.mark.parametrize('operator, case', CASES)
def test_parity(operator, case, server):
    check(operator, case, 'cpu')


@pytest.mark.cuda
@pytest.mark.parametrize('operator', CALLS)
def test_parity_on_cuda(operator, server, device):
    for case in load(operator).values():
        check(operator, case, device)


def test_every_operator_has_cases():
    assert {name: len(load(name)) for name in CALLS} == {
        'nms': 27,
        'batched_nms': 30,
        'soft_nms': 50,
        'roi_align': 49,
        'deform_conv': 18,
        'modulated_deform_conv': 25,
        'ms_deform_attn': 3,
        'sigmoid_focal_loss': 6,
        'softmax_focal_loss': 6,
        'nms_match': 7,
        'carafe': 5,
        'masked_conv': 5,
        'psa_mask': 6,
        'roi_pool': 3,
        'deform_roi_pool': 6,
        'tin_shift': 3,
    }
