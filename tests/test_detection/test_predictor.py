import cv2
import numpy as np
import pytest
from PIL import Image

from swin_dense.detection.predictor import (_array_pipeline, _classes,
                                            _innermost, read_image)


def test_photographs_are_turned_as_their_camera_says(tmp_path):
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


def test_names_of_classes():
    trained = {'meta': {'dataset_meta': {'classes': ('a', 'b')}}}
    config = {'metainfo': {'classes': ('a', 'b')}}
    assert _classes(trained, {}) == ['a', 'b']
    assert _classes({}, config) == ['a', 'b']
    assert _classes(trained, config) == ['a', 'b']
    with pytest.raises(ValueError, match="'b' is 1 in the checkpoint and 0 "):
        _classes(trained, {'metainfo': {'classes': ('b', 'a')}})
    with pytest.raises(ValueError, match='neither the checkpoint nor the'):
        _classes({}, {})


def test_pipeline_starts_from_pixels():
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize'),
        dict(type='mmdet.LoadAnnotations'),
        dict(type='PackDetInputs')
    ]
    assert [step['type'] for step in _array_pipeline(pipeline)
            ] == ['mmdet.LoadImageFromNDArray', 'Resize', 'PackDetInputs']
    assert pipeline[0]['type'] == 'LoadImageFromFile'
    inner = dict(pipeline=pipeline)
    assert _innermost(dict(dataset=dict(datasets=[inner]))) is inner
    with pytest.raises(ValueError, match='test_dataloader.dataset.pipeline'):
        _innermost(dict(type='X'))
