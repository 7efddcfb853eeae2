"""Label maps that do not fit the classes are reported."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from helpers.label_maps import (
    CLASSES,
    HEIGHT,
    WIDTH,
    image_of,
    label_map,
    write_pair,
)
from swin_dense.data.label_map_scan import (
    scan_label_maps,
)
from swin_dense.segmentation.label_map_checks import check_label_maps

PIXELS = HEIGHT * WIDTH


def check(*paths, classes=CLASSES, **settings):
    pairs = [(str(path), image_of(path)) for path in paths]
    return check_label_maps(scan_label_maps(pairs), classes, **settings)


def only(problems):
    (problem,) = problems
    return problem


def test_good_maps(tmp_path):
    report = check(
        write_pair(tmp_path, 'a'), write_pair(tmp_path, 'b', label_map(1, 255))
    )
    assert report.problems == [] and report.notes == []
    assert report.files == 2
    third, half = PIXELS // 3, PIXELS // 2
    assert report.pixels == {0: third, 1: third + half, 2: third, 255: half}
    assert report.labels == {0: 0, 1: 1, 2: 2, 255: None}
    assert report.table(CLASSES).splitlines() == [
        '  value  label    share  name',
        '      0      0   16.67%  background',
        '      1      1   41.67%  road',
        '      2      2   16.67%  car',
        '    255      -   25.00%  (ignored)',
    ]
    json.dumps(report.to_dict())


def test_value_out_of_range(tmp_path):
    bad = write_pair(tmp_path, 'b', label_map(0, 38))
    report = check(
        write_pair(tmp_path, 'a'),
        bad,
        write_pair(tmp_path, 'c', label_map(38)),
    )
    assert report.problems == [
        f'value 38 in {bad} ({PIXELS // 2} pixels) and 1 more files, '
        'num_classes=3 (valid labels 0..2, ignored 255). '
        'Correct the files, or the list of classes'
    ]


def test_one_class_too_few(tmp_path):
    report = check(write_pair(tmp_path, 'a'), classes=['road', 'car'])
    assert (
        'name what 0 is as the first class, or set reduce_zero_label=True'
        in only(report.problems)
    )
    report = check(
        tmp_path / 'annotations/training/a.png',
        classes=['road', 'car'],
        reduce_zero_label=True,
    )
    assert report.problems == []
    assert report.labels == {0: None, 1: 0, 2: 1}


def test_16_bit_values(tmp_path):
    path = write_pair(tmp_path, 'a', np.full((HEIGHT, WIDTH), 300, np.uint16))
    assert f'value 300 in {path}' in check(path).problems[0]


def test_reduced_zero_label_that_is_a_class(tmp_path):
    path = write_pair(tmp_path, 'a')
    problem = only(check(path, reduce_zero_label=True).problems)
    assert problem.startswith(
        'reduce_zero_label=True ignores value 0, 33.3% of all pixels'
    )
    assert "the first class is called 'background'" in problem
    problem = only(
        check(
            path, classes=['sky', 'road', 'car'], reduce_zero_label=True
        ).problems
    )
    assert 'the values are 0 to 2, as many as there are classes' in problem
    # As in ADE20K: 0 is no class; the last class occurs, or other classes
    # do not.
    assert not check(
        path, classes=['road', 'car'], reduce_zero_label=True
    ).problems
    assert not check(
        path, classes=list('abcdef'), reduce_zero_label=True
    ).problems


@pytest.mark.parametrize(
    'mode, shown', [('RGB', 'RGB'), ('RGBA', 'RGBA'), ('LA', 'LA'), ('F', 'F')]
)
def test_colours_are_refused_as_labels(tmp_path, mode, shown):
    path = write_pair(tmp_path, 'a')
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[:, ::2] = (128, 64, 128)
    image = Image.fromarray(colours).convert(mode)
    image.save(path, format='TIFF' if mode == 'F' else 'PNG')
    problem = only(check(path).problems)
    assert problem.startswith(f'{path} is {shown}; a label map has one chann')
    if 'RGB' in mode:
        assert 'Replace each colour by the index of its class' in problem


def test_grey_stored_as_rgb(tmp_path):
    path = write_pair(tmp_path, 'a', np.dstack([label_map(0, 1)] * 3))
    assert 'Its channels are equal: save one of them' in only(
        check(path).problems
    )


def test_a_palette_is_noted(tmp_path):
    path = write_pair(tmp_path, 'a')
    image = Image.fromarray(label_map(0, 1, 2)).convert('P')
    image.putpalette([0, 0, 0, 128, 64, 128, 0, 0, 142])
    image.save(path)
    report = check(path)
    assert report.problems == [] and report.pixels[2] == PIXELS // 3
    assert report.notes[0].startswith(
        f'1 label maps are paletted, {path}: the indices of the palette are'
    )
    report = check(path, classes=['a', 'b'])
    assert 'value 2 (an index of its palette) in' in report.problems[0]


def check_alone(*paths, **settings):
    """Check label maps without images."""
    maps = scan_label_maps([(str(path), None) for path in paths])
    return check_label_maps(maps, CLASSES, **settings)


RED, BLUE, GREY = (200, 0, 0), (0, 0, 200), (90, 90, 90)


@pytest.mark.parametrize(
    'first, second, message',
    [
        (
            [GREY, RED, BLUE],
            [GREY, BLUE, RED],
            r'value 1 is the colour \(200, 0, 0\) in .*a.png, and \(0, 0, '
            r'200\) in '
            r'.*b.png \(2 such differences\): the palettes differ',
        ),
        ([GREY, RED, BLUE], [RED, BLUE, GREY], 'value 0 is the colour'),
        ([GREY, RED, BLUE], [GREY, RED, BLUE], None),
        ([GREY, GREY, GREY], [GREY, GREY, GREY], None),
    ],
)
def test_palettes_that_differ(tmp_path, first, second, message):
    paths = []
    for name, palette in (('a', first), ('b', second)):
        paths.append(tmp_path / f'{name}.png')
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), 'P')
        image.putpalette(sum(palette, ()))
        image.save(paths[-1])
    problems = check_alone(*paths).problems
    if message:
        assert re.search(message, only(problems))
    else:
        assert problems == []


def test_a_colour_of_two_indices(tmp_path):
    """The palettes contradict each other without a common index."""
    for name, value in (('a', 1), ('b', 2)):
        image = Image.fromarray(np.full((4, 4), value, np.uint8), 'P')
        image.putpalette([0, 0, 0] * value + [200, 0, 0])
        image.save(tmp_path / f'{name}.png')
    problems = check_alone(tmp_path / 'a.png', tmp_path / 'b.png').problems
    assert 'the colour (200, 0, 0) is value 1 in' in only(problems)


def test_background_only(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    message = 'all pixels that are not ignored have label 0 (background): '
    assert message in only(check_alone(path).problems)
    report = check_alone(path, training=False)
    assert report.problems == [] and message in only(report.notes)


def test_another_size_than_the_image(tmp_path):
    path = write_pair(tmp_path, 'a', size=(HEIGHT * 2, WIDTH * 2))
    assert only(check(path).problems) == (
        f'{path} is 24x16 pixels (width x height), its image '
        f'{image_of(path)} is 48x32'
    )
    path = write_pair(tmp_path, 'b', size=(WIDTH, HEIGHT))
    assert 'Width and height are swapped' in only(check(path).problems)


@pytest.mark.parametrize('share', [0, 0.3, 0.7])
def test_damaged_files(tmp_path, share):
    noise = np.random.default_rng(0).integers(0, 3, (HEIGHT, WIDTH))
    label, image = (
        write_pair(tmp_path, name, noise.astype(np.uint8)) for name in 'ab'
    )
    image = image_of(image)
    for path in (str(label), image):
        content = open(path, 'rb').read()
        open(path, 'wb').write(content[: int(share * len(content))])
    report = check(label, tmp_path / 'annotations/training/b.png')
    assert len(report.problems) == 2
    reason = 'cannot be decoded: ' if share else 'is empty'
    assert report.problems[0].startswith(f'{label} {reason}')
    assert report.problems[1].startswith(f'{image} ')
    assert any(
        reason in report.problems[1]
        for reason in ('truncated', 'cannot be decoded', 'is empty')
    )


def test_nearly_all_ignored(tmp_path):
    labels = np.full((HEIGHT, WIDTH), 255, np.uint8)
    empty = write_pair(tmp_path, 'a', labels)
    assert '100.00% of all pixels are ignored' in only(check(empty).problems)
    labels[0, :2] = 1
    nearly = write_pair(tmp_path, 'b', labels)
    assert '99.74% of all pixels are ignored' in only(
        check(empty, nearly).problems
    )
    report = check(empty, nearly, write_pair(tmp_path, 'c'))
    assert report.problems == []
    assert only(report.notes).startswith(
        '2 of 3 label maps are ignored on more than 99% of their pixels'
    )


def test_black_and_white_masks(tmp_path):
    path = write_pair(tmp_path, 'a', label_map(0, 255))
    assert 'Write 1 in place of 255' in only(check(path).problems)


def test_another_value_is_ignored(tmp_path):
    path = write_pair(tmp_path, 'a', label_map(0, 1, 9))
    report = check(path, ignore_index=9)
    assert report.problems == [] and report.labels[9] is None


def test_a_choice_of_classes(tmp_path):
    """mmseg maps classes that are left out to 255."""
    path = write_pair(tmp_path, 'a', label_map(0, 1, 2, 3))
    report = check(
        path,
        classes=['c', 'a'],
        reduce_zero_label=True,
        label_map={0: 1, 1: 255, 2: 0},
    )
    assert report.problems == []
    assert report.labels == {0: None, 1: 1, 2: None, 3: 0}
