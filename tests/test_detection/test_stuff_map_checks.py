"""Label maps of the semantic branch are checked and loaded."""

import cv2
import numpy as np
import pytest

from helpers.coco import HEIGHT, WIDTH, dataset_config, tiny_data, write_data
from swin_dense.detection import dataset as coco
from swin_dense.detection.dataset import CheckedCocoDataset

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(
        type='mmdet.LoadAnnotations',
        with_bbox=True,
        with_mask=True,
        with_seg=True,
    ),
]


@pytest.fixture
def make(tmp_path):
    """Build a data set with label maps after `change` damaged them."""

    def build(change=None, **settings):
        data = tiny_data()
        write_data(tmp_path, data)
        folder = tmp_path / 'stuff'
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for image in data['images']:
            values = rng.choice([0, 1, 6, 255], (HEIGHT, WIDTH))
            write(folder / image['file_name'], values)
        if change is not None:
            change(folder)
        config = dataset_config(
            tmp_path,
            **{'pipeline': PIPELINE, 'num_stuff_classes': 7, **settings},
        )
        config['data_prefix']['seg'] = settings.get('seg', 'stuff/')
        config.pop('seg', None)
        return CheckedCocoDataset(**config)

    return build


def write(path, values):
    assert cv2.imwrite(str(path), np.asarray(values, np.uint8))


def test_maps_are_loaded_with_their_images(make, tmp_path):
    dataset = make()
    assert dataset.with_stuff and dataset.num_stuff_classes == 7
    results = dataset[0]
    expected = cv2.imread(str(tmp_path / 'stuff' / '7.png'), -1)
    np.testing.assert_array_equal(results['gt_seg_map'], expected)
    assert set(np.unique(expected)) == {0, 1, 6, 255}


def test_none_means_no_maps(make):
    dataset = make(seg=None, num_stuff_classes=None)
    assert not dataset.with_stuff
    assert 'gt_seg_map' not in dataset[0]


def test_maps_that_no_step_loads_are_not_read(make):
    step = dict(PIPELINE[1], with_seg=False)
    dataset = make(
        lambda folder: (folder / '7.png').unlink(),
        pipeline=[PIPELINE[0], step],
    )
    assert not dataset.with_stuff


def test_missing_maps(make):
    with pytest.raises(FileNotFoundError) as info:
        make(
            lambda folder: [
                (folder / name).unlink() for name in ('7.png', '9.png')
            ]
        )
    message = str(info.value)
    assert message.startswith('2 of 3 label maps for the semantic branch')
    assert 'stuff/7.png' in message and 'stuff/5.png' not in message
    assert 'stuffthingmaps_trainval2017.zip' in message
    assert 'set data_prefix.seg and model.roi_head.semantic_head to None' in (
        message
    )


def test_a_missing_folder(make):
    with pytest.raises(FileNotFoundError, match='^3 of 3 label maps'):
        make(seg='elsewhere/')


PROBLEMS = {
    'another size': (
        np.zeros((HEIGHT, WIDTH // 2)),
        f'7.png is {WIDTH // 2}x{HEIGHT} pixels .width x height.,'
        f' its image .*7.png is {WIDTH}x{HEIGHT}',
    ),
    'a value too high': (
        np.full((HEIGHT, WIDTH), 7),
        r'7.png has the values 7: with 7 classes, labels '
        'are 0 to 6, and 255',
    ),
    'colours': (
        np.full((HEIGHT, WIDTH, 3), [1, 2, 3]),
        '7.png is RGB; a label map has one channel',
    ),
}


@pytest.mark.parametrize('on_load', [False, True], ids=['start', 'loading'])
@pytest.mark.parametrize('kind', PROBLEMS)
def test_maps_that_cannot_be_used(make, monkeypatch, kind, on_load):
    """Large data sets are checked image by image during loading."""
    values, message = PROBLEMS[kind]

    def spoil(folder):
        write(folder / '7.png', values)

    if not on_load:
        with pytest.raises(
            ValueError,
            match='1 of 3 label maps .* cannot be trained on with '
            f'num_stuff_classes=7\n  .*{message}',
        ):
            make(spoil)
        return
    monkeypatch.setattr(coco, 'CHECK_AT_START', 2)
    dataset = make(spoil)
    assert 'gt_seg_map' in dataset[1]
    with pytest.raises(ValueError, match=message):
        dataset[0]


def test_a_damaged_map(make):
    with pytest.raises(ValueError, match='7.png cannot be decoded'):
        make(lambda folder: (folder / '7.png').write_bytes(b'no image'))


@pytest.mark.parametrize('count', [None, 0, 255, '7'])
def test_the_number_of_classes_is_required(make, count):
    with pytest.raises(
        ValueError,
        match=f'num_stuff_classes={count!r} must '
        'be the number of classes of stuff and things',
    ):
        make(num_stuff_classes=count)
