"""Images are read, and class names agreed on, before a prediction."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from swin_dense.checkpoints import read_checkpoint
from swin_dense.data.image_files import read_image
from swin_dense.detection.predictor import DetectionPredictor
from swin_dense.engine import base_predictor
from swin_dense.engine.base_predictor import (
    _agreed_classes,
    _array_pipeline,
    _innermost,
)


def test_images_are_rotated_by_their_exif_orientation(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = (250, 0, 0)  # the left half is red
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    path = tmp_path / 'turned.png'
    Image.fromarray(pixels).save(path, exif=exif)
    image = read_image(path)
    assert image.shape == (40, 20, 3)
    assert image[5, 10, 2] > 200 and image[35, 10, 2] < 50


def test_grey_images_get_three_channels(tmp_path):
    path = tmp_path / 'grey.png'
    cv2.imwrite(str(path), np.full((8, 9), 77, np.uint8))
    assert (read_image(path) == np.full((8, 9, 3), 77)).all()


def test_absent_and_damaged_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.jpg does not exist'):
        read_image(tmp_path / 'none.jpg')
    (tmp_path / 'bad.jpg').write_bytes(b'\xff\xd8\xff')
    with pytest.raises(ValueError, match='bad.jpg cannot be decoded'):
        read_image(tmp_path / 'bad.jpg')


def test_names_of_agreed_classes():
    trained = {'meta': {'dataset_meta': {'classes': ('a', 'b')}}}
    config = {'metainfo': {'classes': ('a', 'b')}}
    assert _agreed_classes(trained, {}) == ['a', 'b']
    assert _agreed_classes({}, config) == ['a', 'b']
    assert _agreed_classes(trained, config) == ['a', 'b']
    with pytest.raises(ValueError, match="'b' is 1 in the checkpoint and 0 "):
        _agreed_classes(trained, {'metainfo': {'classes': ('b', 'a')}})
    assert _agreed_classes({}, {}) is None


def test_names_of_classes_from_a_file(tmp_path):
    path = tmp_path / 'names.txt'
    path.write_text('a\nb\n')
    config = {'metainfo': {'classes': str(path)}}
    assert _agreed_classes({}, config) == ['a', 'b']


def test_images_larger_than_opencv_allows(tmp_path, monkeypatch):
    path = tmp_path / 'large.png'
    cv2.imwrite(str(path), np.zeros((8, 9), np.uint8))

    def refuse(*args):
        raise cv2.error('too many pixels')

    monkeypatch.setattr(cv2, 'imdecode', refuse)
    with pytest.raises(ValueError, match='IO_MAX_IMAGE_PIXELS'):
        read_image(path)


def test_pipeline_starts_from_pixels():
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize'),
        dict(type='mmdet.LoadAnnotations'),
        dict(type='PackDetInputs'),
    ]
    assert [step['type'] for step in _array_pipeline(pipeline, 'mmdet')] == [
        'mmdet.LoadImageFromNDArray',
        'Resize',
        'PackDetInputs',
    ]
    assert pipeline[0]['type'] == 'LoadImageFromFile'
    inner = dict(pipeline=pipeline)
    assert _innermost(dict(dataset=dict(datasets=[inner]))) is inner
    with pytest.raises(ValueError, match='test_dataloader.dataset.pipeline'):
        _innermost(dict(type='X'))


def test_the_state_of_the_training_is_not_read(tmp_path, monkeypatch):
    """It is twice as large as the weights."""
    pytest.importorskip('mmdet')
    path = tmp_path / 'epoch_1.pth'
    torch.save({'state_dict': {}, 'optimizer': {'state': {}}}, path)
    keys = []

    def read(*args, **kwargs):
        keys.extend(read_checkpoint(*args, **kwargs))
        raise InterruptedError

    monkeypatch.setattr(base_predictor, 'read_checkpoint', read)
    with pytest.raises(InterruptedError):
        DetectionPredictor('mask_rcnn_swin_nano_shapes', str(path))
    assert keys == ['state_dict']
