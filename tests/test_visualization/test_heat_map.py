"""Maps are drawn over images, bright where they are large."""

import numpy as np
import pytest

from swin_dense.visualization.heat_map import (
    caption,
    draw_heat,
    mark_box,
    mark_point,
    tile,
)


def test_brightness_follows_the_map():
    image = np.full((4, 6, 3), 90, np.uint8)
    values = np.zeros((4, 6))
    values[1, 2], values[2, 3], values[3, 5] = 2, 1, -3
    picture = draw_heat(image, values)
    sums = picture.astype(int).sum(-1)
    assert sums[1, 2] > sums[2, 3] > sums[0, 0] == sums[3, 5]
    assert np.all(image == 90)
    # With twice the limit, the peak looks as half of it did.
    np.testing.assert_array_equal(
        draw_heat(image, values, 4.0)[1, 2], picture[2, 3]
    )
    flat = draw_heat(image, np.zeros((4, 6)))
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 1


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match='lay the map out on the image'):
        draw_heat(np.zeros((4, 6, 3), np.uint8), np.zeros((2, 3)))


def test_marks():
    picture = np.full((100, 100, 3), 90, np.uint8)
    mark_point(picture, (50.2, 49.6))
    assert (picture[50, 50] == 90).all() and (picture[50, 56] > 90).all()
    mark_box(picture, (10, 20, 90.4, 80), (0, 255, 0))
    assert picture[50, 10].tolist() == picture[80, 50].tolist() == [0, 255, 0]


def test_captions_and_tiles():
    picture = np.full((20, 120, 3), 90, np.uint8)
    long = caption(picture, 'a line that is much too long for its picture')
    assert long.shape[1] == 120 and len(long) > 20
    np.testing.assert_array_equal(long[-20:], picture)
    page = tile([picture + n for n in range(3)], 2)
    assert page[0, 0, 0] == 90 and page[0, -1, 0] == 91
    assert page[-1, 0, 0] == 92 and page[-1, -1, 0] > 200
    with pytest.raises(ValueError, match='at least one picture'):
        tile([], 2)
