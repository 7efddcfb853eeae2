"""Image files are compared with the sizes in annotation files."""

import cv2
import numpy as np
import pytest
from PIL import Image

from swin_dense.data.image_checks import image_problem, missing_files


@pytest.fixture
def photo(tmp_path):
    """Return a function that writes an image of 40x30 pixels in a format."""

    def write(suffix, **options):
        path = tmp_path / f'photo.{suffix}'
        pixels = np.random.default_rng(0).integers(
            0, 255, (30, 40, 3), np.uint8
        )
        Image.fromarray(pixels).save(path, **options)
        return path

    return write


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp', 'tif'])
def test_good(photo, suffix):
    path = photo(suffix)
    assert image_problem(path, 40, 30) is None
    assert image_problem(path, 41, 29) is None


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'bmp', 'webp'])
@pytest.mark.parametrize('share', [0.5, 0.95])
def test_truncated(photo, suffix, share):
    path = photo(suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    problem = image_problem(path, 40, 30)
    assert 'truncated' in problem or 'cannot be decoded' in problem


def test_data_after_the_end_is_fine(photo):
    path = photo('jpg')
    path.write_bytes(path.read_bytes() + bytes(500))
    assert image_problem(path, 40, 30) is None


def test_not_an_image(tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(b'<html>404</html>')
    assert image_problem(path, 40, 30).startswith('cannot be decoded')
    path.write_bytes(b'')
    assert image_problem(path, 40, 30) == 'is empty'


def test_other_size(photo):
    path = photo('png')
    assert image_problem(path, 80, 60) == (
        'is 40x30 pixels (width x height), the annotation file says 80x60'
    )
    assert image_problem(path, 30, 40).endswith(
        ': width and height are swapped'
    )


def test_exif_orientation(photo):
    """OpenCV rotates images by EXIF; the sizes must be those afterwards."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = photo('jpg', exif=exif)
    assert cv2.imread(str(path)).shape == (40, 30, 3)
    assert image_problem(path, 30, 40) is None
    assert 'swapped, EXIF orientation 6' in image_problem(path, 40, 30)


def test_missing_files(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1.png').touch()
    paths = [
        str(tmp_path / name) for name in ('a/1.png', 'a/2.png', 'b/1.png')
    ]
    assert missing_files(paths) == paths[1:]


def test_images_beyond_the_limit_of_pil(photo, monkeypatch):
    """OpenCV loads such images; PIL reads the header only."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    for suffix in ('jpg', 'tif'):
        assert image_problem(photo(suffix), 40, 30) is None
    assert Image.MAX_IMAGE_PIXELS == 100
