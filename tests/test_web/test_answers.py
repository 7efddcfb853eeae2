"""Answers of models without a page."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import swin_dense
from helpers.command_line import CONFIG
from helpers.moving_squares import moving_square
from helpers.saved_models import save_model
from swin_dense.analysis import explain
from swin_dense.data.video_writer import write_video
from swin_dense.web import answers

HELPERS = Path(__file__).parents[1] / 'helpers'
CLASSES = ('disc', 'square', 'triangle')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    weights = save_model(CONFIG, folder / 'weights.pth', CLASSES)
    return swin_dense.load(CONFIG, weights, device='cpu')


@pytest.fixture
def photo(tmp_path):
    """Write an image of 60 x 40 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (10, 15, 3), np.uint8)
    path = tmp_path / 'photo.png'
    cv2.imwrite(str(path), cv2.resize(small, (60, 40)))
    return str(path)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / 'clip.mp4'
    write_video(path, moving_square(0, 5), 10.0)
    return str(path)


def test_instances_of_an_image(detector, photo, tmp_path):
    model = answers.DetectionAnswers(detector, tmp_path)
    assert model.has_masks
    expected = detector(photo)
    score = float(np.median(expected.scores))
    answer = model.answer_image(photo, score_thr=score, masks=False)
    shown = expected.keep(score)
    assert [row[0] for row in answer.rows] == shown.names
    np.testing.assert_allclose(
        [row[1:] for row in answer.rows],
        np.c_[shown.scores, shown.boxes],
        atol=0.051,
    )
    picture, content = answer.files
    assert answer.picture == picture and picture.name == 'photo.jpg'
    assert len(json.loads(content.read_text())) == len(expected)
    # A class alone, in table, picture and JSON.
    name = expected.names[0]
    answer = model.answer_image(photo, score_thr=0, classes=[name])
    assert {row[0] for row in answer.rows} == {name}
    names = [
        e['category_name'] for e in json.loads(answer.files[1].read_text())
    ]
    assert names == [name] * len(answer.rows)


def test_drawing_anew_does_not_run_the_model(detector, photo, monkeypatch):
    model = answers.DetectionAnswers(detector, Path(photo).parent)
    first = model.answer_image(photo)
    monkeypatch.setattr(model, 'predictor', None)
    second = model.answer_image(photo, score_thr=0, labels=False)
    assert len(second.rows) >= len(first.rows)
    with pytest.raises(TypeError):
        model.answer_image(photo + '2')


def test_old_files_are_deleted(detector, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, 'KEPT', 2)
    model = answers.DetectionAnswers(detector, tmp_path)
    found = [model.answer_image(photo) for _ in range(3)]
    assert [answer.picture.exists() for answer in found] == [0, 1, 1]


def test_instances_of_a_video(detector, clip, tmp_path):
    model = answers.DetectionAnswers(detector, tmp_path)
    steps = []
    answer = model.answer_video(
        clip, 3, lambda *step: steps.append(step), classes=['square']
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    video, lines = answer.files
    assert video == answer.clip and video.stat().st_size
    entries = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [entry['frame'] for entry in entries] == [0, 1, 2]
    assert {
        instance['category_name']
        for entry in entries
        for instance in entry['instances']
    } <= {'square'}
    with pytest.raises(ValueError, match='frames must be 0 .* got -1'):
        model.answer_video(clip, -1)


def test_objects_of_a_video_have_ids(detector, clip, tmp_path):
    pytest.importorskip('trackers', reason='the package follows objects')
    model = answers.DetectionAnswers(detector, tmp_path)
    answer = model.answer_video(clip, 3, track=True, score_thr=0.05)
    lines = answer.files[1].read_text().splitlines()
    ids = {
        instance['track_id']
        for line in lines
        for instance in json.loads(line)['instances']
    }
    assert len(lines) == 3 and 1 in ids


def test_explaining_a_detection(detector, photo, tmp_path):
    model = answers.DetectionAnswers(detector, tmp_path)
    assert model.blocks == ['0.0', '0.1', '1.0', '2.0', '3.0']
    name = detector(photo).names[-1]
    answer = model.explain(photo, class_name=name, detection=0)
    assert answer.text.startswith(f'evidence for {name} ')
    picture, arrays = answer.files
    assert answer.picture == picture and picture.name == 'photo_explained.png'
    label = detector.classes.index(name)
    expected = explain.explain_detection(detector, photo, label=label)
    found = np.load(arrays)
    assert found['label'] == label
    np.testing.assert_allclose(found['level0'], expected.levels[0], rtol=1e-4)
    answer = model.explain(photo, '0.1', at=(30, 20))
    assert answer.text.startswith('attention of one token, block 0.1, mean')
    assert np.load(answer.files[1])['query'].tolist() == [21, 32]
    with pytest.raises(ValueError, match='no class .skware.; did you mean'):
        model.explain(photo, class_name='skware')
    with pytest.raises(ValueError, match='pixel 99, 0 is outside'):
        model.explain(photo, '0.1', at=(99, 0))


def test_explaining_a_video(clip, tmp_path):
    pytest.importorskip('mmaction', reason='the models are of mmaction2')
    config = str(HELPERS / 'tiny_video_swin.py')
    weights = save_model(config, tmp_path / 'w.pth', ('right', 'left'))
    predictor = swin_dense.load(config, weights, device='cpu')
    model = answers.VideoAnswers(predictor, tmp_path)
    answer = model.explain(clip, class_name='left')
    assert answer.text.startswith('evidence for left ')
    assert [file.suffix for file in answer.files] == ['.png', '.mp4', '.npz']
    assert answer.clip == answer.files[1]
    answer = model.explain(clip, '1.0')
    assert answer.text.startswith('attention received from all tokens, block')


def test_label_map_in_tiles(photo, clip, tmp_path):
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    from mmseg.datasets import ADE20KDataset

    config = str(HELPERS / 'tiny_upernet.py')
    classes = ADE20KDataset.METAINFO['classes']
    weights = save_model(config, tmp_path / 'w.pth', classes)
    predictor = swin_dense.load(config, weights, device='cpu')
    model = answers.SegmentationAnswers(predictor, tmp_path)
    steps = []
    answer = model.answer_image(
        photo, lambda *step: steps.append(step), tile=40, overlap=0.5
    )
    assert steps == [(1, 2), (2, 2)]
    assert sum(row[1] for row in answer.rows) == 60 * 40
    picture, content, labels = answer.files
    stored = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
    tiled = swin_dense.load(
        config, weights, device='cpu', tile=(40, 40), overlap=0.5
    )
    expected = tiled(photo)
    np.testing.assert_array_equal(
        stored, expected.file_values[expected.label_map]
    )
    # Another size of tiles is predicted anew.
    model.answer_image(photo)
    assert predictor.tile is None
    answer = model.explain(photo, at=(50, 10))
    assert answer.text.startswith('evidence for ')
    with pytest.raises(ValueError, match='overlap of tiles must be'):
        model.answer_image(photo, tile=40, overlap=1.0)
    answer = model.answer_video(clip, 1)
    (line,) = answer.files[1].read_text().splitlines()
    assert (
        sum(area['pixels'] for area in json.loads(line)['areas'].values())
        == 48 * 64
    )
