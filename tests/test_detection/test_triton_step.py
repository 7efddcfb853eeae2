"""A detector trains a step on the operator in Triton as on plain kernels."""

import pytest
import torch

from helpers.detectors import CLASSES, build, settings
from helpers.kernel_sets import needs_triton
from swin_dense import kernels
from swin_dense.analysis.benchmark import BenchmarkCase, make_samples

SIZE = 48, 64


def build_detector(with_cp):
    model = settings('mask_rcnn')
    # The first stage shifts its windows, and pads them.
    model.backbone = dict(
        model.backbone, depths=(2, 1, 1, 1), window_size=5, with_cp=with_cp
    )
    model.data_preprocessor = None
    # All proposals are sampled, so that rounding chooses none.
    model.train_cfg.rpn.sampler.num = model.train_cfg.rcnn.sampler.num = 10**5
    model.train_cfg.rpn_proposal.update(nms_pre=20, max_per_img=8)
    torch.manual_seed(0)
    return build(model).train()


def step(kernel_set, with_cp):
    """Losses and gradients of a training step."""
    detector = build_detector(with_cp)
    case = BenchmarkCase(shape=SIZE)
    torch.manual_seed(1)
    x = torch.randn(1, 3, *SIZE)
    with kernels.use(kernel_set):
        losses = detector.loss(x, make_samples(case, CLASSES))
        total, log = detector.parse_losses(losses)
        total.backward()
    return log, {
        name: parameter.grad
        for name, parameter in detector.named_parameters()
        if parameter.grad is not None
    }


@needs_triton
@pytest.mark.parametrize(
    'with_cp', [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_a_step_equals_plain_kernels(with_cp):
    losses, grads = step('triton', with_cp)
    expected_losses, expected = step('plain', False)
    assert losses.keys() == expected_losses.keys()
    for name, value in expected_losses.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-5)
    assert grads.keys() == expected.keys()
    tables = [name for name in grads if 'relative_position_bias' in name]
    assert len(tables) == 5
    for name, grad in expected.items():
        scale = grad.abs().max().clamp(min=1e-6)
        difference = (grads[name] - grad).abs().max() / scale
        assert difference < 1e-3, name
