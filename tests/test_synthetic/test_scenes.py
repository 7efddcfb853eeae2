"""Parameters of scenes out of range are refused."""

import os

import pytest

from swin_dense.synthetic.shapes import (
    generate_coco,
)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(classes=['blob']), r"unknown shapes \['blob'\].*'circle'"),
        (dict(classes=[]), 'unknown shapes'),
        (
            dict(radius=(9, 3)),
            r'radius=\[9, 3\] must be \(smallest, largest\)',
        ),
        (dict(image_size=4), r'image_size=\[4, 4\]'),
        (dict(image_format='bmp'), "'bmp' must be 'jpg' or 'png'"),
    ],
)
def test_impossible_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_coco(tmp_path, {'train': 1}, **wrong)
    assert os.listdir(tmp_path) == []
