"""Activation checkpointing of mmdet's transformers without fairscale."""

import copy

import torch

from swin_dense.compat import mmdet_checkpointing


def test_checkpointed_layers_give_the_same_gradients():
    plain = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    wrapped = mmdet_checkpointing.checkpoint_wrapper(copy.deepcopy(plain))
    twin = copy.deepcopy(wrapped)  # as an exponential moving average does
    inputs = torch.randn(2, 3, 8)
    results = []
    for layer in (plain, wrapped):
        torch.manual_seed(1)  # dropout is drawn once more in the backward pass
        output = layer(inputs)
        output.square().sum().backward()
        results.append([output] + [p.grad for p in layer.parameters()])
    for value, expected in zip(*results):
        assert torch.equal(value, expected)
    assert wrapped.state_dict().keys() == plain.state_dict().keys()
    twin(inputs).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
