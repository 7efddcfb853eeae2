"""Images are predicted in batches, and bad ones are reported at the end."""

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from swin_dense.engine.predict_images import count_tiles, predict_images

NUM_IMAGES = 5


class Predictor:
    """Return the mean of each image; refuse images of one column."""

    def __init__(self):
        self.batches = []

    def predict_batch(self, images):
        self.batches.append(len(images))
        if any(image.shape[1] == 1 for image in images):
            raise ValueError('too narrow')
        return [SimpleNamespace(mean=image.mean()) for image in images]

    def count_tiles(self, height, width):
        return height * width


class Writer:
    """Collect results."""

    def __init__(self, paths):
        self.paths, self.results, self.is_closed = paths, {}, False

    def add(self, index, result):
        self.results[Path(result.path).name] = result.mean

    def summary(self):
        return f'{len(self.results)} results'

    def close(self):
        self.is_closed = True


@pytest.fixture
def folder(tmp_path):
    """Write five images, of which image number n has the value 10 * n."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for number in range(NUM_IMAGES):
        image = np.full((4, 6), 10 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    return folder


def predict(folder, **changes):
    args = dict(
        inputs=[str(folder)],
        out=str(folder.parent / 'out'),
        batch_size=2,
        skip_bad=False,
    )
    models = []

    def open_model(pictures, update):
        models.append((Predictor(), Writer(pictures)))
        return models[0]

    error = None
    try:
        predict_images(open_model, Namespace(**{**args, **changes}))
    except ValueError as raised:
        error = str(raised)
    ((predictor, writer),) = models
    assert writer.is_closed
    return predictor, writer, error


def test_images_are_predicted_in_batches(folder, capsys):
    predictor, writer, error = predict(folder)
    assert error is None and predictor.batches == [2, 2, 1]
    assert writer.results == {
        f'{number}.png': 10.0 * number for number in range(NUM_IMAGES)
    }
    assert capsys.readouterr().out == '5 results\n'


def test_an_image_that_fails_does_not_fail_its_batch(folder, capsys):
    cv2.imwrite(str(folder / '1.png'), np.zeros((4, 1), np.uint8))
    (folder / '3.png').write_bytes(b'not an image')
    predictor, writer, error = predict(folder)
    # The batch of images 0 and 1 is predicted anew, image by image.
    assert predictor.batches == [2, 1, 1, 2]
    assert sorted(writer.results) == ['0.png', '2.png', '4.png']
    assert error.startswith('2 of 5 images could not be read')
    shown = capsys.readouterr().err
    assert '1.png (1x4 pixels) cannot be predicted: ' in shown
    assert 'too narrow' in shown and '3.png' in shown
    assert predict(folder, skip_bad=True)[2] is None


def test_tiles_of_unreadable_images_are_not_counted(folder):
    (folder / '3.png').write_bytes(b'not an image')
    assert count_tiles(sorted(folder.iterdir()), Predictor()) == 4 * 4 * 6
