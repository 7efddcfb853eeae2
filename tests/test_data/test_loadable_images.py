"""The check of an image agrees with loading it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.data.image_checks import image_problem, image_size
from swin_dense.data.image_files import read_image
from swin_dense.detection.dataset import CheckedCocoDataset

SIZE = (40, 30)


def draw(mode):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGB', 'RGBA', 'CMYK', 'F'])
def test_formats_and_modes_of_pil(tmp_path, mode):
    """The check accepts an image if and only if OpenCV loads it."""
    Image.init()
    formats = 0
    for kind in sorted(Image.SAVE):
        path = tmp_path / f'{mode}.{kind.lower()}'
        try:
            draw(mode).save(path, kind)
        except (OSError, ValueError, KeyError):
            continue  # this format does not have the mode
        formats += 1
        pixels = cv2.imdecode(
            np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR
        )
        loads = pixels is not None and pixels.shape == (30, 40, 3)
        assert (image_problem(path, *SIZE) is None) == loads, kind
    assert formats > 2


@pytest.mark.parametrize('ending', ['tga', 'ico', 'pcx'])
def test_the_format_is_named(tmp_path, ending):
    path = tmp_path / f'a.{ending}'
    draw('RGB').save(path)
    message = f'is a {ending.upper()} file that OpenCV, which loads the images'
    assert message in image_problem(path, *SIZE)
    for read in (image_size, read_image):
        with pytest.raises(ValueError, match=message):
            read(path)


@pytest.mark.parametrize('shape', [(30, 40), (30, 40, 3)])
@pytest.mark.parametrize('ending', ['png', 'tif'])
def test_sixteen_bits(tmp_path, shape, ending):
    path = tmp_path / f'a.{ending}'
    pixels = np.random.default_rng(0).integers(0, 4096, shape, np.uint16)
    cv2.imwrite(str(path), pixels)
    assert 'at most 15 of 255, and the image would be nearly black' in (
        image_problem(path, *SIZE)
    )
    for read in (image_size, read_image):
        with pytest.raises(ValueError, match='16 bits per channel, but no va'):
            read(path)
    cv2.imwrite(str(path), pixels * 16)
    assert image_problem(path, *SIZE) is None
    assert image_size(path) == SIZE
    assert read_image(path).max() == 255


def test_a_data_set_of_sixteen_bits(tmp_path):
    _, folder = write_data(tmp_path, tiny_data())
    dark = np.full((30, 40), 1000, np.uint16)
    cv2.imwrite(str(folder / '5.png'), dark)
    with pytest.raises(ValueError, match=r'5.png \(image id 5\) has 16 bits'):
        CheckedCocoDataset(**dataset_config(tmp_path))
