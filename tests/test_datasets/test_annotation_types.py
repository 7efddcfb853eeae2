"""JSON that is no COCO file, or only nearly."""
import json

import pytest
from tiny_coco import dataset_config, tiny_data, write_data

from swin_dense.datasets.checks import load_coco
from swin_dense.datasets.coco import CheckedCocoDataset


@pytest.mark.parametrize('part, key, value, message', [
    ('images', 'id', [1], "'id' in images must be a whole number or a text"),
    ('images', 'file_name', 7, "'file_name' in images must be a text"),
    ('images', 'width', '40', "'width' in images must be a number of pixels"),
    ('images', 'height', 10**12, '1 to 1048576; there are 1000000000000'),
    ('images', 'height', 0, '1 to 1048576; there are 0 (id 7)'),
    ('images', 'height', float('nan'), 'there are nan (id 7)'),
    ('annotations', 'image_id', {}, "'image_id' in annotations must be"),
    ('annotations', 'bbox', ['a', 1, 2, 3], "'bbox' in annotations must be"),
    ('annotations', 'area', 'large', "'area' in annotations must be a num"),
    ('annotations', 'segmentation', [[['x']]], "'segmentation' in annot"),
    ('annotations', 'segmentation', 'x', "'segmentation' in annotations"),
    ('annotations', 'segmentation', dict(counts=[-1], size=[3, 4]), 'RLE'),
    ('annotations', 'segmentation', dict(counts=7, size=[3, 4]), 'RLE'),
    ('categories', 'name', None, "'name' in categories must be a text"),
])
def test_values_of_a_wrong_type(tmp_path, part, key, value, message):
    data = tiny_data()
    data[part][0][key] = value
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError) as caught:
        load_coco(path)
    assert str(caught.value).startswith(f'{path}: ')
    assert message in str(caught.value)


@pytest.mark.parametrize('depth', [10, 500, 900])
def test_rings_nested_deeply(tmp_path, depth):
    """Python's parser reads them; what works on them would not."""
    data = tiny_data()
    rings = [1, 2, 3, 4, 5, 6]
    for _ in range(depth):
        rings = [rings]
    data['annotations'][0]['segmentation'] = rings
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="'segmentation' in annotations"):
        load_coco(path)


@pytest.mark.parametrize('part', ['images', 'annotations', 'categories'])
def test_entries_that_are_no_objects(tmp_path, part):
    data = tiny_data()
    data[part].append(7)
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"of '{part}' must be objects"):
        load_coco(path)


@pytest.mark.parametrize('size', [[10**6, 10**6], [10**12, 1], [30]])
def test_masks_of_a_claimed_size(tmp_path, size):
    """No array of that size is made."""
    data = tiny_data()
    data['annotations'][0]['segmentation'] = dict(counts='0', size=size)
    write_data(tmp_path, data)
    with pytest.raises(ValueError, match='RLE masks whose size is not'):
        CheckedCocoDataset(**dataset_config(tmp_path, with_mask=True))


def test_a_file_nested_too_deeply(tmp_path):
    path, _ = write_data(tmp_path, tiny_data())
    path.write_text('{"images": ' + '[' * 100_000 + ']' * 100_000 + '}')
    with pytest.raises(ValueError) as caught:
        CheckedCocoDataset(**dataset_config(tmp_path))
    assert str(caught.value).startswith(f'{path} is nested too deeply')
