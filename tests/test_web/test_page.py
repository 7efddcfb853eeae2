"""The page of `swin-dense web`, in a headless Chromium and without one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import swin_dense
from helpers.browser import (
    click_button,
    message,
    open_browser,
    open_tab,
    upload,
    wait_for,
)
from helpers.command_line import CONFIG, error_of, run
from helpers.moving_squares import moving_square
from helpers.saved_models import save_model
from swin_dense.data.video_writer import write_video

pytest.importorskip('gradio', reason='Gradio shows the page')

HELPERS = Path(__file__).parents[1] / 'helpers'
CLASSES = ('disc', 'square', 'triangle')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    return save_model(CONFIG, folder / 'weights.pth', CLASSES)


@pytest.fixture
def photo(tmp_path):
    """Write an image of 60 x 40 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (10, 15, 3), np.uint8)
    path = tmp_path / 'photo.png'
    cv2.imwrite(str(path), cv2.resize(small, (60, 40)))
    return path


@pytest.fixture
def page(weights, tmp_path):
    """Run the command; return the address of the page."""
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, '-m', 'swin_dense', 'web', CONFIG, weights]
        + ['--port', '0', '--device', 'cpu'],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'TMPDIR': str(temporary)},
    )
    try:
        lines = iter(process.stdout.readline, '')
        line = next(line for line in lines if line.startswith('The page'))
        assert any(temporary.iterdir())
        yield re.search(r'http://127\.0\.0\.1:\d+', line)[0]
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(30)
        process.stdout.close()
    # Ctrl-C is its end, and nothing of the user is left.
    assert status == 0
    assert not [*temporary.glob('swin-dense-web-*')]


def requests_of(window):
    """Return the addresses that a page asked for."""
    entries = [
        json.loads(entry['message'])['message']
        for entry in window.get_log('performance')
    ]
    return [
        entry['params']['request']['url']
        for entry in entries
        if entry['method'] == 'Network.requestWillBeSent'
    ]


def test_upload_predict_download(page, weights, photo, tmp_path):
    downloads = tmp_path / 'downloads'
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image')
    clip = tmp_path / 'clip.mp4'
    write_video(clip, moving_square(0, 3), 10.0)
    predictor = swin_dense.load(CONFIG, weights, device='cpu')
    result = predictor(photo)
    with open_browser(page, downloads) as window:
        click_button(window, 'image', 'Predict')
        message(window, 'image', re.compile('^Choose an image first'))

        upload(window, 'image', photo)
        click_button(window, 'image', 'Predict')
        text = message(window, 'image', re.compile(r'\d s\)$'))
        shown = int((result.scores >= 0.3).sum())
        assert text.startswith(f'{shown or "no"} instance')
        assert f'{len(result)} of all scores' in text
        picture = window.find_element(
            'css selector', '[id="image"] .picture img'
        )
        assert wait_for(lambda: picture.get_property('naturalWidth')) == 60

        # A lower threshold draws and lists all, without another click.
        least = window.find_element(
            'css selector', '[id="image"] .least input[type=number]'
        )
        least.send_keys('\b' * 4 + '0\t')
        text = message(window, 'image', re.compile('a score of 0 or more'))
        assert text.startswith(f'{len(result)} instances')
        rows = window.find_element('css selector', '[id="image"] .found')
        assert result.names[0] in rows.text
        link = window.find_element(
            'css selector', '[id="image"] .downloads a[download$=json]'
        )
        link.click()
        file = downloads / 'photo.json'
        wait_for(file.exists)
        entries = json.loads(file.read_text())
        assert len(entries) == len(result)
        np.testing.assert_allclose(
            [entry['score'] for entry in entries], result.scores, rtol=1e-3
        )
        assert {entry['file_name'] for entry in entries} == {'photo.png'}

        upload(window, 'image', broken)
        click_button(window, 'image', 'Predict')
        text = message(window, 'image', re.compile('broken'))
        assert text == (
            'broken.png cannot be decoded: it is not an image, or damaged.'
        )

        open_tab(window, 'Video')
        upload(window, 'video', clip)
        click_button(window, 'video', 'Predict')
        message(window, 'video', re.compile(r'^3 frames \('))
        window.find_element('css selector', '[id="video"] .clip video[src]')

        open_tab(window, 'Explain')
        upload(window, 'explain', photo)
        image = window.find_element(
            'css selector', '[id="explain"] .source img'
        )
        image.click()  # in the middle
        pixel = '[id="explain"] .pixel :is(input, textarea)'
        box = window.find_element('css selector', pixel)
        x, y = map(int, wait_for(lambda: box.get_property('value')).split(','))
        assert abs(x - 30) <= 1 and abs(y - 20) <= 1
        click_button(window, 'explain', 'Explain')
        message(window, 'explain', re.compile('^evidence for |^there are 0 '))

        addresses = requests_of(window)
        assert f'{page}/' in addresses
        outside = [
            address
            for address in addresses
            if not address.startswith((page, 'data:', 'blob:'))
        ]
        assert not outside


def labels_of(page):
    """Return the labels of the components of a page."""
    return {
        component['props'].get('label')
        for component in page.config['components']
    }


def ask(page, *values):
    """Return the outputs of the first tab's function."""
    return page.fns[min(page.fns)].fn(*values)


def test_page_of_a_segmentor(photo, tmp_path):
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    from mmseg.datasets import ADE20KDataset

    from swin_dense.web.answers import SegmentationAnswers
    from swin_dense.web.page import build_page

    config = str(HELPERS / 'tiny_upernet.py')
    weights = save_model(
        config, tmp_path / 'w.pth', ADE20KDataset.METAINFO['classes']
    )
    predictor = swin_dense.load(config, weights, device='cpu')
    page = build_page(SegmentationAnswers(predictor, tmp_path), 'tiny')
    labels = labels_of(page)
    assert {'Image', 'Video', 'Least overlap of tiles'} <= labels
    assert 'Least score' not in labels
    values = ask(page, str(photo), 0.5, 0, 0.25)
    assert re.match(r'\d+ class(es)? in the image \(', values[0]['value'])
    (text, *_) = ask(page, str(photo), 0.5, 64, 1.5)
    assert text['value'] == (
        'the overlap of tiles must be a share of their side, from 0 to below '
        '1, got 1.5.'
    )
    assert 'problem' in text['elem_classes']


def test_page_of_a_recognizer(tmp_path):
    pytest.importorskip('mmaction', reason='the models are of mmaction2')
    from swin_dense.web.answers import VideoAnswers
    from swin_dense.web.page import build_page

    config = str(HELPERS / 'tiny_video_swin.py')
    weights = save_model(config, tmp_path / 'w.pth', ('right', 'left'))
    predictor = swin_dense.load(config, weights, device='cpu')
    page = build_page(VideoAnswers(predictor, tmp_path), 'tiny')
    labels = labels_of(page)
    assert 'Image' not in labels and {'Video', 'Segments'} <= labels
    clip = tmp_path / 'clip.mp4'
    write_video(clip, moving_square(0, 20), 10.0)
    text, video, scores, picture, rows, files = ask(page, str(clip), 5, 0)
    assert text['value'].startswith('20 frames in ')
    assert set(scores) == {'right', 'left'}
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert [Path(file).suffix for file in files] == ['.mp4', '.jpg', '.json']
    text, video, *_ = ask(page, str(clip), 0, 0)
    assert text['value'] == ('the number of classes must be 1 or more, got 0.')
    assert 'problem' in text['elem_classes'] and video is None


def test_pixels_are_read_from_text():
    from swin_dense.web.page import read_pixel

    assert read_pixel(' 320, 200 ') == (320, 200)
    with pytest.raises(ValueError, match="as x, y, such as .* got '3'"):
        read_pixel('3')


def test_an_unknown_error_is_a_sentence_too(capsys):
    from swin_dense.web.page import answer_or_problem

    def fail():
        raise KeyError('secret')

    text = answer_or_problem(fail, '/tmp/x/a.png', 'an image')
    assert text == (
        "an error of the program, see its console: KeyError: 'secret'."
    )
    assert 'Traceback' in capsys.readouterr().err


def test_command_line_errors(weights, capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        status = run('web', CONFIG, weights, '--port', port)
        assert f'127.0.0.1, port {port}: Address already in use; choose' in (
            error_of(capsys, status)
        )
    status = run('web', CONFIG, weights, '--port', 0, '--texts', 'cat')
    assert 'texts are for models that read the names' in (
        error_of(capsys, status)
    )
