"""Pixels of an image are found again in a model's input, and back."""

import cv2
import numpy as np
import pytest

from swin_dense.analysis.input_places import Places, find_places


def resized(image, size):
    return cv2.resize(image, size).transpose(2, 0, 1)


def test_a_resized_image():
    places = find_places(lambda image: resized(image, (50, 80)), (40, 100))
    assert places.scale == pytest.approx((2, 0.5), abs=1e-6)
    # Middles of pixels: the first covers two columns, and half a row.
    assert places.offset == pytest.approx((0.5, -0.25), abs=1e-5)
    assert places.to_input(4.5, 0.25) == pytest.approx((2, 1), abs=1e-5)


def test_a_part_that_is_mirrored_and_padded():
    def prepare(image):
        part = image[10:30, 20:60][:, ::-1]
        return np.pad(part, ((0, 4), (0, 8), (0, 0))).transpose(2, 0, 1)

    places = find_places(prepare, (40, 100))
    assert places == Places((-1.0, 1.0), (59.0, 10.0))
    assert places.to_input(59, 29) == (0, 19)


def test_an_image_of_one_row_and_of_one_column():
    places = find_places(lambda image: resized(image, (30, 3)), (1, 10))
    assert places.scale[0] == pytest.approx(1 / 3, abs=1e-5)
    assert places.offset[1] == pytest.approx(-1 / 3)


@pytest.mark.parametrize(
    'prepare',
    [
        lambda image: (2 * image).transpose(2, 0, 1),
        lambda image: np.rot90(image).transpose(2, 0, 1),
        lambda image: (image - image.mean()).transpose(2, 0, 1),
        lambda image: image.astype(str),
    ],
)
def test_other_transforms_are_refused(prepare):
    with pytest.raises(ValueError, match='must only move, resize or mirror'):
        find_places(prepare, (40, 100))


def test_each_pixel_has_the_value_of_its_token():
    values = np.array([[1.0, 2], [3, 4]])
    found = Places((1.0, 1.0), (0.0, 0.0)).on_image(values, 4, (6, 7))
    expected = values.repeat(4, 0).repeat(4, 1)[:6, :7]
    np.testing.assert_array_equal(found, expected)
    # An image twice as large as the input, which is mirrored.
    found = Places((-2.0, 2.0), (14.5, 0.5)).on_image(values, 4, (16, 16))
    np.testing.assert_array_equal(found[0], [2] * 8 + [1] * 8)
    np.testing.assert_array_equal(found[:, 15], [1] * 8 + [3] * 8)


def test_smooth_values_meet_at_the_middles_of_tokens():
    values = np.array([[0.0, 4]])
    found = Places((1.0, 1.0), (0.0, 0.0)).on_image(values, 4, (1, 8), True)
    np.testing.assert_allclose(
        found[0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4], atol=0.04
    )
