"""Images of any format, name and size are read or refused."""

import os
import pickle
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.hostile_paths import write_hostile_paths
from swin_dense.data.image_checks import image_problem, image_size
from swin_dense.data.image_files import (
    max_pixels,
    open_image,
    read_header,
    read_image,
)
from swin_dense.data.label_map_scan import read_label_map, scan_label_maps
from swin_dense.files import UnreadableFileError


def write_header(path, width, height):
    """Write the header of a PNG of any size, without pixels."""
    chunk = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + struct.pack('>I', 13)
        + chunk
        + struct.pack('>I', zlib.crc32(chunk))
        + b'\x00\x00\x00\x00IEND\xaeB`\x82'
    )


def test_paths_to_no_regular_file_are_refused(tmp_path):
    for path, reason in write_hostile_paths(tmp_path, '.png').items():
        with pytest.raises(UnreadableFileError) as caught:
            read_image(path)
        assert str(caught.value) == f'{path} {reason}'
        assert image_problem(path, 4, 4) == reason
        with pytest.raises(ValueError) as caught:
            image_size(path)
        assert str(caught.value) == reason
        assert read_label_map(str(path)).problem == f'{path} {reason}'
    again = pickle.loads(pickle.dumps(UnreadableFileError('x', 'is y')))
    assert str(again) == 'x is y'  # as from a data loading process


@pytest.mark.parametrize(
    'name',
    [
        os.fsdecode(b'\xff\xfe.png'),
        '-rf.png',
        'two\nlines.png',
        'x' * 251 + '.png',
        '%03d.png',
    ],
)
def test_any_name_is_read(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)
    (tmp_path / name).write_bytes(cv2.imencode('.png', pixels)[1].tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / name), pixels)
    assert image_size(tmp_path / name) == (5, 4)


@pytest.mark.parametrize(
    'mode, suffix, options',
    [
        ('CMYK', 'jpg', {}),
        ('L', 'png', {}),
        ('LA', 'png', {}),
        ('P', 'png', {}),
        ('RGBA', 'png', {}),
        ('I;16', 'png', {}),
        ('1', 'tif', {}),
        ('RGB', 'webp', dict(save_all=True)),
        ('RGB', 'png', dict(save_all=True)),
    ],
)
def test_pixel_formats_become_three_channels(tmp_path, mode, suffix, options):
    """All formats give three channels of 8 bits, of the first picture."""
    path = tmp_path / f'x.{suffix}'
    grey = Image.fromarray(np.full((6, 8), 90, np.uint8))
    image = (
        Image.fromarray(np.full((6, 8), 90 * 257, np.uint16))
        if mode == 'I;16'
        else grey.convert(mode)
    )
    if options:
        options['append_images'] = [grey.convert(mode).rotate(90)] * 2
    image.save(path, **options)
    pixels = read_image(path)
    assert pixels.shape == (6, 8, 3) and pixels.dtype == np.uint8
    if mode not in ('1', 'CMYK'):
        assert abs(pixels.astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    'width, height', [(20_000, 20_000), (2**30, 2**30), (200_000_001, 1)]
)
def test_more_pixels_than_allowed(tmp_path, width, height):
    """Large images are refused by their header, without decoding."""
    path = tmp_path / 'large.png'
    write_header(path, width, height)
    sentence = f'has {width}x{height} = {width * height:,} pixels; at most '
    with pytest.raises(ValueError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f'{path} {sentence}200,000,000 are')
    assert f'SWIN_DENSE_MAX_PIXELS={width * height}' in str(caught.value)
    assert sentence in image_problem(path, width, height)
    assert (
        f'{path} cannot be decoded: it {sentence}'
        in read_label_map(str(path)).problem
    )


def test_the_limit_can_be_set(tmp_path, monkeypatch):
    path = tmp_path / 'small.png'
    path.write_bytes(cv2.imencode('.png', np.zeros((10, 10)))[1].tobytes())
    monkeypatch.setenv('SWIN_DENSE_MAX_PIXELS', '99')
    with pytest.raises(ValueError, match='has 10x10 = 100 pixels; at most 99'):
        read_image(path)
    monkeypatch.setenv('SWIN_DENSE_MAX_PIXELS', '100')
    assert read_image(path).shape == (10, 10, 3)
    for wrong in ('0', 'many', '-1', '1e9'):
        monkeypatch.setenv('SWIN_DENSE_MAX_PIXELS', wrong)
        with pytest.raises(ValueError, match='must be a number of pixels'):
            max_pixels()


def test_a_large_file_is_not_read(tmp_path):
    """A sparse file has no blocks on the disk, but would fill the memory."""
    path = tmp_path / 'sparse.jpg'
    with path.open('wb') as file:
        file.truncate(2**42)
    assert 'has 4,398,046,511,104 bytes, more than' in image_problem(
        path, 4, 4
    )


def test_threads_leave_the_limit_of_pil_alone(tmp_path, monkeypatch):
    """PIL's limit is global; overlapping threads must restore it."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    path = tmp_path / 'x.png'
    path.write_bytes(cv2.imencode('.png', np.zeros((9, 9)))[1].tobytes())
    first, second = threading.Event(), threading.Event()

    def early():
        with path.open('rb') as file, open_image(file):
            first.set()
            assert second.wait(5)

    def late():
        assert first.wait(5)
        with path.open('rb') as file, open_image(file) as image:
            second.set()
            assert image.size == (9, 9)
            assert Image.MAX_IMAGE_PIXELS == 10

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(early), pool.submit(late)]:
            done.result(10)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert all(
        label_map.problem is None and label_map.image_size == (9, 9)
        for label_map in scan_label_maps([(str(path), str(path))] * 50)
    )
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_header_with_an_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / 'x.jpg'
    Image.new('RGB', (4, 3)).save(path, exif=exif)
    with path.open('rb') as file:
        header = read_header(file)
    assert header == ('JPEG', 4, 3, 8) and header.size == (3, 4)
    assert read_image(path).shape == (4, 3, 3)
