"""swin-dense analyze: errors from a file of detections."""

import json

import cv2
import pytest

from helpers.coco import tiny_data, write_data
from helpers.command_line import error_of, run

pytest.importorskip('mmdet')


def detections(data):
    """Return perfect detections, then spoil some.

    The first cat becomes a dog, the first dog moves, and a cat is invented.
    """
    entries = [
        dict(
            image_id=ann['image_id'],
            category_id=ann['category_id'],
            bbox=list(ann['bbox']),
            score=0.9,
        )
        for ann in data['annotations']
    ]
    entries[0]['category_id'] = 10
    entries[1]['bbox'][0] += 8
    entries.append(
        dict(image_id=9, category_id=20, bbox=[5, 5, 8, 8], score=0.8)
    )
    return entries


@pytest.fixture
def files(tmp_path):
    data = tiny_data()
    ann_file, images = write_data(tmp_path, data)
    results = tmp_path / 'results.bbox.json'
    results.write_text(json.dumps(detections(data)))
    return ann_file, results, images


def test_a_file_of_detections(files, tmp_path, capsys):
    ann_file, results, images = files
    out = tmp_path / 'errors'
    options = ('--results', results, '--images', images, '--out', out)
    assert run('analyze', ann_file, *options) == 0
    shown = capsys.readouterr().out
    content = json.loads((out / 'errors.json').read_text())['bbox']
    assert content['counts'] == dict(
        classification=1,
        localisation=1,
        both=0,
        duplicate=0,
        background=1,
        missed=0,
    )
    assert content['classes']['cat']['counts']['background'] == 1
    assert 'localisation           1   33.3%' in shown
    # A cat of two is found, after none; a dog of two, after a wrong one.
    assert content['classes']['cat']['AP50'] == pytest.approx(51 / 101)
    for name in ('bbox_20_cat.png', 'bbox_10_dog.png'):
        picture = cv2.imread(str(out / name))
        assert picture.shape[0] > 400 and picture.shape[1] > 200
        # The colours of detection and truth.
        for colour in ((60, 60, 230), (70, 170, 60)):
            assert (abs(picture.astype(int) - colour).max(2) < 8).any()


def test_without_images_there_are_numbers_alone(files, tmp_path):
    ann_file, results, _ = files
    out = tmp_path / 'errors'
    assert run('analyze', ann_file, '--results', results, '--out', out) == 0
    assert [path.name for path in out.iterdir()] == ['errors.json']


@pytest.mark.parametrize(
    'content, message',
    [
        ({}, 'is not a result file of COCO'),
        ([dict(image_id=7)], 'is not a result file of COCO'),
        ([], 'has no detections'),
        (
            [dict(image_id=1, category_id=20, score=1, bbox=[0, 0, 1, 1])],
            'has images that',
        ),
        (
            [dict(image_id=7, category_id=1, score=1, bbox=[0, 0, 1, 1])],
            'has categories that',
        ),
    ],
)
def test_results_that_do_not_fit(files, tmp_path, capsys, content, message):
    ann_file, results, _ = files
    results.write_text(json.dumps(content))
    status = run(
        'analyze', ann_file, '--results', results, '--out', tmp_path / 'e'
    )
    assert message in error_of(capsys, status)


def test_options_that_do_not_fit(files, tmp_path, capsys):
    ann_file, results, _ = files
    for options in ((), ('weights.pth', '--results', results)):
        status = run('analyze', ann_file, *options, '--out', tmp_path)
        assert 'name a checkpoint, or a file' in error_of(capsys, status)
    status = run(
        'analyze',
        'upernet_swin_nano_shapes',
        '--results',
        results,
        '--out',
        tmp_path,
    )
    assert '--results is for detectors' in error_of(capsys, status)
