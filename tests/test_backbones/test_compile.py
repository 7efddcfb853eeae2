"""`torch.compile` makes one graph of a backbone, also if sizes change."""

import pytest
import torch

from helpers.kernel_sets import NAMES, needs_triton
from helpers.models import TWO_STAGES, randomize
from helpers.reference import assert_close
from swin_dense import kernels
from swin_dense.backbones import (
    MiniSwin,
    SwinMLP,
    SwinTransformer,
    SwinTransformer3D,
    SwinTransformerV2,
    SwinTransformerV2_3D,
)

# Model, and sizes of inputs; the first one is compiled for.
MODELS = {
    'V1': (
        lambda: SwinTransformer(
            **TWO_STAGES, window_size=3, out_indices=(0, 1)
        ),
        [(3, 26, 30), (3, 64, 64), (3, 41, 70), (3, 33, 48)],
    ),
    'V2': (
        lambda: SwinTransformerV2(
            arch=TWO_STAGES, window_size=4, out_indices=(0, 1)
        ),
        [(3, 38, 45), (3, 64, 64), (3, 70, 50), (3, 48, 97)],
    ),
    'video': (
        lambda: SwinTransformer3D(
            arch=TWO_STAGES, window_size=(2, 3, 3), out_indices=(0, 1)
        ),
        [
            (3, 7, 26, 30),
            (3, 8, 64, 64),
            (3, 6, 41, 70),
            (3, 9, 33, 48),
        ],
    ),
}
# One graph for one size.
OTHERS = {
    'Swin-MLP': (
        lambda: SwinMLP(arch=TWO_STAGES, window_size=3, out_indices=(0, 1)),
        [(3, 26, 30)],
    ),
    'Mini-Swin': (
        lambda: MiniSwin(
            arch=dict(TWO_STAGES, blocks=(1, 1)),
            window_size=3,
            out_indices=(0, 1),
        ),
        [(3, 26, 30)],
    ),
    'video V2': (
        lambda: SwinTransformerV2_3D(
            arch=TWO_STAGES, window_size=(2, 3, 3), out_indices=(0, 1)
        ),
        [(3, 7, 26, 30)],
    ),
}
# Those that a compiler may trace.
TRACED = [name for name in NAMES if kernels.available()[name].can_be_compiled]


def build(name):
    torch.compiler.reset()
    make, sizes = (MODELS | OTHERS)[name]
    return randomize(make()), [torch.randn(1, *size) for size in sizes]


def run(model, function, x, train):
    """Outputs, and in training the gradients of all parameters."""
    torch.manual_seed(0)
    if not train:
        with torch.no_grad():
            return list(function(x))
    outputs = list(function(x))
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = sum((out * out).sum() for out in outputs)
    return outputs + list(
        torch.autograd.grad(total, parameters, allow_unused=True)
    )


def compare(model, function, x, train, tolerance=3e-5):
    expected = run(model, model, x, train)
    for result, other in zip(run(model, function, x, train), expected):
        if other is None:
            assert result is None
            continue
        scale = max(1.0, other.abs().max().item())
        assert_close(result / scale, other / scale, tolerance)


def compile_one_graph(model, **options):
    """Return a compiled model, and a list that grows by a graph each time."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    function = torch.compile(model, backend=backend, fullgraph=True, **options)
    return function, graphs


@pytest.mark.parametrize(
    'name, train',
    [(name, train) for name in MODELS for train in (False, True)]
    + [(name, True) for name in OTHERS],
)
def test_one_graph_for_one_size(name, train):
    model, inputs = build(name)
    model.train(train)
    function, graphs = compile_one_graph(model, dynamic=False)
    with kernels.use('plain'):
        compare(model, function, inputs[0], train)
    assert len(graphs) == 1


@needs_triton
@pytest.mark.parametrize(
    'name',
    [
        'V1',
        *(pytest.param(m, marks=pytest.mark.slow) for m in ('V2', 'video')),
    ],
)
def test_the_operator_is_one_node(name):
    model, inputs = build(name)
    model.train()
    function, graphs = compile_one_graph(model, dynamic=False)
    x = inputs[0][..., :20, :14]  # the interpreter is slow
    with kernels.use('triton'):
        compare(model, function, x, True)
    [graph] = graphs
    nodes = [
        node
        for node in graph.graph.nodes
        if 'swin_dense.window_attention' in str(node.target)
    ]
    assert len(nodes) == 3  # a block each


@pytest.mark.parametrize(
    'name, train',
    [
        ('V1', False),
        *(
            pytest.param(name, train, marks=pytest.mark.slow)
            for name in MODELS
            for train in (False, True)
            if (name, train) != ('V1', False)
        ),
    ],
)
def test_one_graph_for_all_sizes(name, train):
    """Padding of maps, by any amount, makes no other graph."""
    model, inputs = build(name)
    model.train(train)
    function, graphs = compile_one_graph(model, dynamic=True)
    with kernels.use('plain'):
        for x in inputs:
            compare(model, function, x, train)
    assert len(graphs) == 1


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_sizes_that_become_symbols(name):
    """By default the second size makes a graph for all that follow."""
    model, inputs = build(name)
    model.eval()
    function, graphs = compile_one_graph(model)
    with kernels.use('plain'):
        for x in inputs:
            compare(model, function, x, False)
    assert len(graphs) <= 2


@pytest.mark.slow
@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('kernel_set', TRACED)
@pytest.mark.parametrize('name', MODELS)
def test_inductor(name, kernel_set, train):
    model, inputs = build(name)
    model.train(train)
    with kernels.use(kernel_set):
        function = torch.compile(model, fullgraph=True, dynamic=False)
        compare(model, function, inputs[0], train, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_inductor_with_sizes_that_change(name):
    model, inputs = build(name)
    model.eval()
    with kernels.use('plain'):
        function = torch.compile(model, fullgraph=True, dynamic=True)
        for x in inputs:
            compare(model, function, x, False, 1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize('train', [False, True])
@pytest.mark.parametrize('name', MODELS)
def test_inductor_on_a_gpu(name, train, device):
    model, inputs = build(name)
    model.to(device).train(train)
    function = torch.compile(model, fullgraph=True)
    compare(model, function, inputs[0].to(device), train, 1e-3)
