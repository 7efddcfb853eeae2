"""Boxes and areas of masks equal those of their pixels."""

import numpy as np
from pycocotools import mask as mask_api

from swin_dense.detection.mask_geometry import (
    decode_counts,
    measure_polygons,
    measure_runs,
)


def run_lengths(flat):
    """Return the run lengths of a flat mask, which start with zeros."""
    change = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate(([0], change, [flat.size]))).tolist()
    return [0] * int(flat[0]) + runs


def test_run_lengths_are_measured_as_by_pixels():
    rng = np.random.default_rng(0)
    masks = []
    for density in np.linspace(0, 1, 60):
        mask = rng.random(rng.integers(1, 50, 2)) < density**2
        masks.append(np.asfortranarray(mask, np.uint8))
    texts = [mask_api.encode(mask)['counts'].decode() for mask in masks]
    counts, lengths = decode_counts(texts)
    expected = [run_lengths(mask.ravel('F')) for mask in masks]
    assert lengths.tolist() == [*map(len, expected)]
    assert counts.tolist() == sum(expected, [])
    boxes, areas = measure_runs(
        counts, lengths, np.array([len(mask) for mask in masks])
    )
    assert areas.tolist() == [int(mask.sum()) for mask in masks]
    for mask, box in zip(masks, boxes):
        rows, columns = np.nonzero(mask)
        assert box.tolist() == (
            [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            if rows.size
            else [0] * 4
        )


def test_polygons_are_measured_over_all_rings():
    boxes, covers = measure_polygons(
        [[[1, 2, 3, 2, 3, 4], [7, 8, 9, 8, 8, 9]], [[1, 1, 2, 2, 3, 3]]]
    )
    assert boxes.tolist() == [[1, 2, 9, 9], [1, 1, 3, 3]]
    assert covers.tolist() == [True, False]
