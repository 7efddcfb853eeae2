"""Label maps are counted, and read again only if they have changed."""

import os

from PIL import Image

from helpers.label_maps import HEIGHT, WIDTH, image_of, label_map, write_pair
from swin_dense.data import label_map_scan
from swin_dense.data.label_map_scan import (
    LabelMap,
    read_label_map,
    scan_label_maps,
)


def test_bilevel_maps(tmp_path):
    path = tmp_path / 'a.png'
    Image.fromarray(label_map(0, 1).astype(bool)).save(path)
    assert read_label_map(str(path)).counts == {0: 192, 1: 192}


def test_large_sets_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(label_map_scan, 'CACHE_ABOVE', 1)
    monkeypatch.setattr(
        label_map_scan, 'get_dir', lambda: str(tmp_path / 'hub')
    )
    paths = [write_pair(tmp_path, name) for name in 'abc']
    pairs = [(str(path), image_of(path)) for path in paths]
    first = scan_label_maps(pairs)
    (cache,) = (tmp_path / 'hub' / 'label_maps').iterdir()

    read = []

    def spy(path, image):
        read.append(path)
        return read_label_map(path, image)

    monkeypatch.setattr(label_map_scan, 'read_label_map', spy)
    assert scan_label_maps(pairs) == first and read == []
    write_pair(tmp_path, 'b', label_map(1, 2, 1))
    os.utime(paths[1], ns=(1, 1))
    changed = scan_label_maps(pairs)
    assert read == [str(paths[1])]
    assert changed[1].counts == {1: 256, 2: 128} and changed[0] == first[0]
    cache.write_text('{"half')
    assert scan_label_maps(pairs) == changed and len(read) == 4
    # Scanning also works if the cache cannot be written.
    monkeypatch.setattr(label_map_scan, 'get_dir', lambda: str(cache))
    assert scan_label_maps(pairs) == changed


def test_without_images(tmp_path):
    path = write_pair(tmp_path, 'a')
    (label_map_,) = scan_label_maps([(str(path), None)])
    assert label_map_ == LabelMap(
        str(path), None, 'L', (WIDTH, HEIGHT), (), {0: 128, 1: 128, 2: 128}
    )
