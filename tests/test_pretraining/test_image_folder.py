"""Folders of images without labels."""

import re

import cv2
import numpy as np
import pytest

from swin_dense.pretraining.image_folder import (
    ImageFolderDataset,
    ShapesFolderDataset,
)


def write(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((6, 8, 3), value, np.uint8))
    return path


def dataset(folder, **kwargs):
    return ImageFolderDataset(data_root=str(folder), **kwargs)


def test_images_of_all_folders_in_the_order_of_paths(tmp_path):
    for value, name in enumerate(['b.png', 'a/z.PNG', 'a/c.png']):
        write(tmp_path / name, value)
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / '.hidden.png').write_bytes(b'no image')
    (tmp_path / 'a' / 'loop').symlink_to(tmp_path)
    data = dataset(tmp_path)
    assert [item['img'].max() for item in data] == [0, 2, 1]
    assert data[0]['img'].shape == (6, 8, 3)
    assert data[0]['img_path'] == str(tmp_path / 'b.png')


def test_an_absent_or_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='folder .*/photos does not'):
        dataset(tmp_path, data_prefix=dict(img='photos'))
    with pytest.raises(ValueError, match=r'no file that ends in \.jpg'):
        dataset(tmp_path)


def test_damaged_images_are_counted_listed_and_left_out(tmp_path, logged):
    for number in range(8):
        write(tmp_path / f'{number}.png', number)
    (tmp_path / '3.png').write_bytes(b'text')
    (tmp_path / '5.png').write_bytes(b'')
    data = dataset(tmp_path, max_unreadable=0.25)
    assert [item['img'].max() for item in data] == [0, 1, 2, 4, 6, 7]
    assert re.search(
        '2 of 8 images in .* cannot be used: .*/3.png cannot be decoded.*; '
        '.*/5.png.* is empty. They are left out',
        logged.text,
    )
    with pytest.raises(
        ValueError, match=r'2 of 8.*more than the share of 0\.2 that may'
    ):
        dataset(tmp_path, max_unreadable=0.2)


def test_an_image_that_is_damaged_later_is_replaced(tmp_path, logged):
    paths = [write(tmp_path / f'{number}.png', number) for number in range(4)]
    data = dataset(tmp_path, max_unreadable=0.5)
    paths[3].write_bytes(b'text')
    assert data[3]['img'].max() == data[3]['img'].max() == 0
    assert re.search(
        '3.png cannot be decoded.* replaces it; 1 image so far', logged.text
    )
    paths[2].unlink()
    assert data[2]['img'].max() == 0
    paths[1].unlink()
    with pytest.raises(ValueError, match='3 of 4 images'):
        data[1]


def test_files_need_not_be_checked(tmp_path):
    for number in range(3):
        write(tmp_path / f'{number}.png', number)
    (tmp_path / '0.png').write_bytes(b'text')
    data = dataset(tmp_path, check_files=False, max_unreadable=0.4)
    assert len(data) == 3 and data[0]['img'].max() == 1


def test_no_share_of_images():
    with pytest.raises(ValueError, match='max_unreadable=1.0 is no share'):
        dataset('.', max_unreadable=1.0)


def test_shapes_are_drawn_once_and_differ_from_those_with_labels(tmp_path):
    def draw(split):
        return ShapesFolderDataset(
            data_root=str(tmp_path),
            data_prefix=dict(img=f'{split}/'),
            generate=dict(num_images=2, image_size=32, radius=(4, 8)),
        )

    data, others = draw('unlabeled2017'), draw('train2017')
    assert not np.array_equal(data[0]['img'], others[0]['img'])
    np.testing.assert_array_equal(
        draw('unlabeled2017')[1]['img'], data[1]['img']
    )
