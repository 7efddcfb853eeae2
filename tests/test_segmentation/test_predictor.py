"""Files have the values of the data set, whatever the model's labels are."""

import numpy as np
import pytest

pytest.importorskip('mmseg', reason='needs mmsegmentation')

from mmengine.config import ConfigDict  # noqa: E402

from swin_dense.segmentation.predictor import (  # noqa: E402
    SegmentationPredictor,
)


def open_data(classes=None, **settings):
    predictor = SegmentationPredictor.__new__(SegmentationPredictor)
    dataset = ConfigDict(
        type='swin_dense.CheckedADE20KDataset', data_root='no', **settings
    )
    return predictor, predictor._open_data(dataset, classes)


def test_values_of_ade20k():
    predictor, names = open_data()
    assert len(names) == 150 and names[0] == 'wall'
    np.testing.assert_array_equal(predictor.file_values, np.arange(1, 151))
    assert predictor.palette[0] == [120, 120, 120]


def test_values_of_some_classes():
    predictor, names = open_data(['sky', 'wall'])
    assert names == ['sky', 'wall']
    assert predictor.file_values.tolist() == [3, 1]
    predictor, _ = open_data(['sky', 'wall'], reduce_zero_label=False)
    assert predictor.file_values.tolist() == [2, 0]


def test_tiles_out_of_range_are_refused():
    with pytest.raises(ValueError, match='a tile must be a height and a wid'):
        SegmentationPredictor('no.py', 'no.pth', tile=(0, 8))
