"""Messages about missing files explain why they may be missing."""

import json
import re

import pytest

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.data.absent_files import explain_absent
from swin_dense.detection.dataset import CheckedCocoDataset


@pytest.fixture
def folder(tmp_path):
    for name in ('a.jpg', 'b.jpg', 'deep/c.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return str(tmp_path / 'images')


@pytest.mark.parametrize(
    'names, cause, counts',
    [
        (
            ['set\\a.jpg', 'set\\c.jpg'],
            '2 names contain backslashes',
            '2 of 2',
        ),
        (
            ['/home/me/a.jpg', '/home/me/x.jpg'],
            '2 names are absolute',
            '1 of 2',
        ),
        (['C:\\me\\a.jpg'], '1 names are absolute', '1 of 1'),
        (['\\\\server\\a.jpg'], '1 names are absolute', '1 of 1'),
        (
            ['images/a.jpg', 'images/b.jpg'],
            "2 names begin with 'images', the name of the folder itself",
            '2 of 2',
        ),
        (
            ['old/a.jpg', 'new/a.jpg'],
            '',
            r'2 of 2 are in or below .*images \(1 '
            'names are not unique',
        ),
        (['A.JPG', 'x.jpg'], '', '1 of 2 exist with other capital letters'),
        (['a.jpg.jpg'], '1 names have their file suffix twice', ''),
        (['x.png'], '', '^$'),
    ],
)
def test_causes(folder, names, cause, counts):
    paths = [
        name if name.startswith(('/', 'C:')) else f'{folder}/{name}'
        for name in names
    ]
    text = explain_absent(paths, folder)
    assert cause in text
    assert re.search(counts, text)


def test_without_a_known_cause_nothing_is_added(tmp_path):
    assert explain_absent(['a.jpg'], str(tmp_path)) == ''


def test_the_message_of_a_data_set_has_the_cause(tmp_path):
    data = tiny_data()
    path, _ = write_data(tmp_path, data)
    for image in data['images']:
        image['file_name'] = f'photos\\{image["file_name"]}'
    path.write_text(json.dumps(data))
    with pytest.raises(
        FileNotFoundError,
        match=r'3 of 3 images .* do not exist.*3 names contain backslashes, '
        r'.*By name alone, without folders, 3 of 3 are in or below',
    ):
        CheckedCocoDataset(**dataset_config(tmp_path))
