"""mmcv's wrappers on our operators against what compiled mmcv computed."""
import importlib.util
from pathlib import Path

import pytest
import torch

import swin_dense  # noqa: F401  stands in for mmcv's compiled half

SCRIPT = Path(__file__).parents[1] / 'data' / 'make_mmcv_ops_reference.py'
# Largest error of any output or gradient, relative to numbers above 1:
# sums are taken in another order.
TOLERANCE = 1e-5


def load_script():
    spec = importlib.util.spec_from_file_location('mmcv_ops_reference', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = load_script()
CASES = [
    pytest.param(operator, case, id=f'{operator}-{name}')
    for operator in reference.CASES
    for name, case in reference.load(operator).items()
]


def check(operator, case, device):
    inputs = {name: value.to(device) for name, value in case['in'].items()}
    outputs = reference.run(operator, inputs, case['options'])
    assert outputs.keys() == case['out'].keys()
    for name, expected in case['out'].items():
        torch.testing.assert_close(
            outputs[name].cpu(),
            expected,
            rtol=TOLERANCE,
            atol=TOLERANCE,
            msg=lambda text, name=name: f'{name}: {text}')


@pytest.mark.parametrize('operator, case', CASES)
def test_parity(operator, case):
    check(operator, case, 'cpu')


@pytest.mark.cuda
@pytest.mark.parametrize('operator', reference.CASES)
def test_parity_on_cuda(operator):
    for case in reference.load(operator).values():
        check(operator, case, 'cuda')


def test_every_operator_has_cases():
    counts = {name: len(reference.load(name)) for name in reference.CASES}
    assert counts == {
        'nms': 27,
        'batched_nms': 30,
        'soft_nms': 50,
        'roi_align': 49,
        'deform_conv': 18,
        'modulated_deform_conv': 25,
        'ms_deform_attn': 3,
        'sigmoid_focal_loss': 6,
        'softmax_focal_loss': 6
    }
