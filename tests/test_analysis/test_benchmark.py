"""The table of a benchmark."""

import pytest
import torch

from swin_dense.analysis.benchmark import (
    BenchmarkCase,
    Measurement,
    format_rows,
    whole_model,
)


def test_table():
    rows = [
        Measurement('forward, time', 1.5, 2.0),
        Measurement('forward, peak memory', 3 * 2**20, None),
    ]
    assert format_rows(rows).splitlines()[2:] == [
        '| forward, time | 1500.0 ms | 2000.0 ms | 0.75 |',
        '| forward, peak memory | 3 MiB | - | - |',
    ]


def test_both_models_have_the_same_weights():
    """Otherwise one predicts more objects than the other."""
    pytest.importorskip('mmdet', reason='the peer is its model')
    case = BenchmarkCase(config='configs/mask_rcnn_swin_nano_shapes.py')
    ours, peer = (whole_model(case, name).eval() for name in ('ours', 'peer'))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours_maps, peer_maps = ours.extract_feat(x), peer.extract_feat(x)
    assert len(ours_maps) == len(peer_maps) == 3
    for ours_map, peer_map in zip(ours_maps, peer_maps):
        torch.testing.assert_close(ours_map, peer_map, atol=1e-4, rtol=1e-4)
    assert torch.equal(
        ours.roi_head.bbox_head.fc_cls.weight,
        peer.roi_head.bbox_head.fc_cls.weight,
    )
