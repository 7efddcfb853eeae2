"""JSON with deep nesting or claims of large sizes is refused."""

import json

import pytest

from helpers.coco import dataset_config, tiny_data, write_data
from swin_dense.detection.annotation_checks import load_coco
from swin_dense.detection.dataset import CheckedCocoDataset


@pytest.mark.parametrize('depth', [10, 500, 900])
def test_rings_nested_deeply(tmp_path, depth):
    """Python's parser reads such rings; recursive code would fail."""
    data = tiny_data()
    rings = [1, 2, 3, 4, 5, 6]
    for _ in range(depth):
        rings = [rings]
    data['annotations'][0]['segmentation'] = rings
    write_data(tmp_path, data)
    with pytest.raises(
        ValueError, match='annotations 100: segmentation is ne'
    ):
        CheckedCocoDataset(**dataset_config(tmp_path))


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
    """The claimed size is not allocated."""
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
