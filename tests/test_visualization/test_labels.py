"""Label maps are tinted, outlined and explained by a legend."""

import numpy as np
import pytest

from swin_dense.visualization import (
    class_colour,
    colour_map,
    draw_labels,
    draw_legend,
    label_sheet,
)
from swin_dense.visualization.text import text_size

CLASSES = ['wall', 'circle', 'square']
PALETTE = [[10, 20, 30], [200, 0, 0], [0, 0, 250]]


def grey(height, width):
    return np.full((height, width, 3), 100, np.uint8)


def halves(height, width):
    labels = np.zeros((height, width), np.int64)
    labels[:, width // 2 :] = 1
    return labels


def test_tint_and_outline():
    image, labels = grey(60, 80), halves(60, 80)
    labels[:10] = 255
    drawn = draw_labels(image, labels, CLASSES, PALETTE, legend=False)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    # Palettes are RGB, pictures are BGR.
    assert drawn[30, 10].tolist() == [65, 60, 55]
    assert drawn[30, 70].tolist() == [50, 50, 150]
    assert drawn[30, 39].tolist() == [30, 20, 10]
    assert drawn[30, 40].tolist() == [0, 0, 200]
    np.testing.assert_array_equal(drawn[:9], image[:9])
    assert (image == 100).all()


def test_colours_of_this_package():
    drawn = draw_labels(
        grey(20, 20), np.full((20, 20), 2), CLASSES, opacity=1, legend=False
    )
    assert drawn[5, 5].tolist() == list(class_colour(2))


def test_legend_names_what_occurs_by_size():
    image = grey(200, 300)
    labels = halves(200, 300)
    labels[:, 100:] = 1
    drawn = draw_labels(image, labels, CLASSES, PALETTE)
    strip = drawn[200:]
    assert drawn.shape[1] == 300 and 20 < len(strip) < 60
    circle = (strip == [0, 0, 200]).all(2)
    wall = (strip == [30, 20, 10]).all(2)
    assert circle.sum() > 60 and wall.sum() > 60
    assert np.nonzero(circle)[1].max() < np.nonzero(wall)[1].min()
    assert not (strip == [250, 0, 0]).all(2).any()


def test_a_long_legend_takes_more_lines():
    names = [f'a rather long name {i}' for i in range(12)]
    labels = np.arange(1200).reshape(30, 40) % 12
    narrow, wide = (draw_legend([labels], names, w) for w in (250, 2500))
    assert narrow.shape[1] == 250 and len(narrow) > 2 * len(wide)
    assert len(draw_legend([np.full((9, 9), 255)], names, 250)) < 40


def test_a_narrow_image_has_a_legend_that_can_be_read():
    image, labels = grey(60, 30), halves(60, 30)
    names = ['upper clothes of any kind', 'right arm']
    drawn = draw_labels(image, labels, names, PALETTE)
    text = text_size(f'{names[0]}  50.0%', 11)[0]
    assert text < drawn.shape[1] < text + 50
    np.testing.assert_array_equal(
        drawn[:60, :30],
        draw_labels(image, labels, names, PALETTE, legend=False),
    )
    assert (drawn[:60, 30:] == 250).all()


def test_sheet():
    pairs = [(grey(40, 80), halves(40, 80), np.zeros((40, 80), int))] * 3
    sheet = label_sheet(pairs, CLASSES, PALETTE, tile=160)
    assert sheet.shape[1] == 2 * (2 * 160 + 4 * 5)
    left, right = sheet[60, 120], sheet[60, 290]
    assert left.tolist() == [50, 50, 150] and right.tolist() == [65, 60, 55]
    legend = sheet[-30:]
    assert (legend == [0, 0, 200]).all(2).any()


@pytest.mark.parametrize(
    'image, labels, palette, message',
    [
        (grey(9, 9)[..., 0], halves(9, 9), None, r'got \(9, 9\)'),
        (grey(9, 9), halves(8, 9), None, r'labels are \(8, 9\), the image is'),
        (grey(9, 9), halves(9, 9), PALETTE[:2], '2 colours for 3 classes'),
    ],
)
def test_bad_images_and_labels_are_refused(image, labels, palette, message):
    with pytest.raises(ValueError, match=message):
        draw_labels(image, labels, CLASSES, palette)


def test_background_is_not_tinted():
    image, labels = grey(60, 80), halves(60, 80)
    names = ['Background', 'b']
    drawn = draw_labels(image, labels, names, PALETTE, legend=False)
    np.testing.assert_array_equal(drawn[:, :39], image[:, :39])
    assert (drawn[:, 45:] != image[:, 45:]).any(2).all()


def test_label_map_in_colours():
    labels = np.array([[0, 1], [1, 255]])
    first, second = (colour[::-1] for colour in PALETTE[:2])
    expected = [[first, second], [second, (0, 0, 0)]]
    drawn = colour_map(labels, 2, PALETTE)
    np.testing.assert_array_equal(drawn, np.array(expected, np.uint8))
