import json
import multiprocessing
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from swin_dense.synthetic.drawing import SHAPES, draw_image
from swin_dense.synthetic.shapes import (
    encode_mask,
    generate_ade,
    generate_coco,
)

SMALL = dict(image_size=(64, 96), radius=(6, 20))


def files_under(folder):
    return {
        os.path.relpath(os.path.join(base, name), folder): open(
            os.path.join(base, name), 'rb'
        ).read()
        for base, _, names in os.walk(folder)
        for name in names
    }


def decode(segmentation, height, width):
    rle = (
        mask_api.frPyObjects(segmentation, height, width)
        if isinstance(segmentation, list)
        else [segmentation]
    )
    return mask_api.decode(mask_api.merge(rle)).astype(bool)


def test_masks_are_disjoint_and_as_many_as_labels():
    counts = []
    for seed in range(40):
        image, masks, labels = draw_image(np.random.default_rng(seed))
        assert image.shape == (256, 256, 3) and image.dtype == np.uint8
        assert masks.shape == (len(labels), 256, 256)
        assert masks.sum(0).max(initial=0) <= 1
        assert all(mask.sum() > 15 for mask in masks)
        counts.append(len(labels))
    assert set(counts) == {0, 2, 3, 4, 5}


def test_hues_tell_the_classes_of_shapes():
    hues = {0: [], 1: [], 2: []}
    for seed in range(40):
        image, masks, labels = draw_image(
            np.random.default_rng(seed), hues=True
        )
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
        for mask, label in zip(masks, labels):
            angle = np.exp(2j * np.pi * hsv[mask][:, 0] / 256).mean()
            hues[label].append(np.angle(angle) / 2 / np.pi % 1)
    for label, values in hues.items():
        # A pattern may shift the hue.
        inside = np.floor(3 * np.array(values)) == label
        assert len(values) > 20 and inside.mean() > 0.8
        assert np.ptp(np.array(values)[inside]) > 0.2


def test_later_shapes_hide_earlier_ones():
    """With little room the later shape must cover part of the first."""
    hidden = 0
    for seed in range(20):
        _, masks, _ = draw_image(
            np.random.default_rng(seed),
            (64, 64),
            ['square'],
            (2, 2),
            (28, 28),
            empty=0,
        )
        full = 2 * 28**2
        hidden += len(masks) == 2 and masks[0].sum() < 0.7 * full
    assert hidden > 10


@pytest.mark.parametrize('name', SHAPES)
def test_area_of_each_class(name):
    corners = SHAPES[name]
    x, y = corners.T
    expected = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    areas = []
    for seed in range(40):
        _, masks, _ = draw_image(
            np.random.default_rng(seed),
            (300, 300),
            [name],
            (1, 1),
            (40, 40),
            empty=0,
        )
        inside = not (masks[0][[0, -1]].any() or masks[0][:, [0, -1]].any())
        if inside:
            areas.append(masks[0].sum() / 40**2)
    assert len(areas) > 10
    # OpenCV also fills pixels on the border.
    np.testing.assert_allclose(areas, expected, rtol=0.08)


@pytest.mark.parametrize('rle', [False, True])
def test_segmentation_decodes_to_the_mask(rle):
    polygons = 0
    for seed in range(30):
        _, masks, _ = draw_image(np.random.default_rng(seed))
        for mask in masks:
            segmentation = encode_mask(mask, rle)
            polygons += isinstance(segmentation, list)
            np.testing.assert_array_equal(
                decode(segmentation, *mask.shape), mask
            )
    assert polygons == 0 if rle else polygons > 60


def test_masks_in_parts_and_with_holes_are_rle():
    parts = np.zeros((20, 20), bool)
    parts[2:5, 2:5] = parts[10:15, 10:15] = True
    ring = np.zeros((20, 20), bool)
    ring[2:12, 2:12] = True
    ring[5:8, 5:8] = False
    for mask in (parts, ring):
        segmentation = encode_mask(mask)
        assert segmentation['size'] == [20, 20]
        np.testing.assert_array_equal(decode(segmentation, 20, 20), mask)
    assert encode_mask(parts[:8, :8]) == [[2, 2, 2, 5, 5, 5, 5, 2]]


def test_files(tmp_path):
    files = generate_coco(tmp_path, {'train': 6, 'val': 3}, **SMALL)
    assert files['val'] == tmp_path / 'annotations' / 'instances_val.json'
    coco = COCO(files['train'])
    assert [c['name'] for c in coco.dataset['categories']] == [
        'circle',
        'square',
        'triangle',
    ]
    assert len(coco.imgs) == 6 and len(coco.anns) > 8
    for info in coco.imgs.values():
        image = cv2.imread(str(tmp_path / 'train' / info['file_name']))
        assert image.shape == (info['height'], info['width'], 3) == (64, 96, 3)
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        assert mask.sum() == ann['area']
        rows, columns = np.nonzero(mask)
        assert ann['bbox'] == [
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        ]


def test_label_maps_show_the_scenes_of_the_masks(tmp_path):
    """Both layouts draw the same scenes for a split of the same name."""
    generate_ade(tmp_path / 'ade', {'train': 6}, **SMALL)
    files = generate_coco(tmp_path / 'coco', {'train': 6}, **SMALL)
    coco = COCO(files['train'])
    values = set()
    for info in coco.imgs.values():
        name = info['file_name']
        assert (tmp_path / 'ade/images/train' / name).read_bytes() == (
            tmp_path / 'coco/train' / name
        ).read_bytes()
        expected = np.zeros((64, 96), np.uint8)
        for ann in coco.imgToAnns[info['id']]:
            expected[coco.annToMask(ann) > 0] = ann['category_id']
        label_map = Image.open(
            tmp_path / 'ade/annotations/train' / name.replace('jpg', 'png')
        )
        assert label_map.mode == 'L'
        np.testing.assert_array_equal(label_map, expected)
        values |= {*np.unique(label_map)}
    assert values == {0, 1, 2, 3}


def test_of_two_folders_the_absent_one_is_drawn(tmp_path):
    generate_ade(tmp_path, {'train': 2}, **SMALL)
    before = files_under(tmp_path)
    image = tmp_path / 'images/train/000000000001.jpg'
    image.write_bytes(b'kept')
    # As if the process was killed between the two steps.
    shutil.rmtree(tmp_path / 'annotations')
    generate_ade(tmp_path, {'train': 2}, **SMALL)
    after = files_under(tmp_path)
    assert after.pop('images/train/000000000001.jpg') == b'kept'
    del before['images/train/000000000001.jpg']
    assert after == before
    with pytest.raises(ValueError, match='train was generated with seed=0'):
        generate_ade(tmp_path, {'train': 2}, seed=1, **SMALL)
    (tmp_path / 'annotations/val').mkdir()
    with pytest.raises(ValueError, match='annotations/val exists and was not'):
        generate_ade(tmp_path, {'val': 2}, **SMALL)


def test_the_annotation_file_is_copied_atomically(tmp_path, monkeypatch):
    files = generate_coco(tmp_path, {'train': 2}, **SMALL)
    data = json.loads(files['train'].read_text())
    assert data['info']['description'] == 'Shapes drawn by swin_dense'
    files['train'].unlink()

    def fail(source, target):
        raise OSError('disk full')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', fail)
        with pytest.raises(OSError, match='disk full'):
            generate_coco(tmp_path, {'train': 2}, **SMALL)
    assert not list(files['train'].parent.iterdir())
    generate_coco(tmp_path, {'train': 2}, **SMALL)
    assert json.loads(files['train'].read_text()) == data


def test_an_image_depends_on_seed_split_and_index_only(tmp_path):
    for name, seed, count in (('a', 0, 4), ('b', 0, 2), ('c', 1, 4)):
        generate_coco(
            tmp_path / name, {'train': count, 'val': count}, seed=seed, **SMALL
        )
    a, b, c = (files_under(tmp_path / name) for name in 'abc')
    assert all(a[name] == b[name] for name in b if name.endswith('.jpg'))
    image = os.path.join('train', '000000000001.jpg')
    assert a[image] != c[image]
    assert a[image] != a[image.replace('train', 'val')]


def test_reused_when_complete(tmp_path):
    generate_coco(tmp_path, {'train': 2}, **SMALL)
    image = tmp_path / 'train' / '000000000001.jpg'
    image.write_bytes(b'kept')
    (tmp_path / 'annotations' / 'instances_train.json').unlink()
    files = generate_coco(tmp_path, {'train': 2}, **SMALL)
    assert image.read_bytes() == b'kept'
    assert len(json.loads(files['train'].read_text())['images']) == 2


def test_other_parameters_are_refused(tmp_path):
    generate_coco(tmp_path, {'train': 2}, **SMALL)
    with pytest.raises(
        ValueError,
        match=r'train was generated with num_images=2, seed=0; asked for '
        r'is num_images=3, seed=5.*another data_root',
    ):
        generate_coco(tmp_path, {'train': 3}, seed=5, **SMALL)


def test_a_folder_of_the_user_is_refused(tmp_path):
    (tmp_path / 'train').mkdir()
    (tmp_path / 'train' / 'photo.jpg').touch()
    with pytest.raises(ValueError, match='not generated by swin_dense'):
        generate_coco(tmp_path, {'train': 2}, **SMALL)
    assert os.listdir(tmp_path / 'train') == ['photo.jpg']


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def fail_at_third(path, *args):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        return real(path, *args)

    real = cv2.imwrite
    monkeypatch.setattr(cv2, 'imwrite', fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        generate_coco(tmp_path, {'train': 5}, **SMALL)
    assert os.listdir(tmp_path) == []


def _generate(root, barrier):
    barrier.wait()
    generate_coco(root, {'train': 8}, **SMALL)


def test_two_processes_at_once(tmp_path):
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    workers = [
        context.Process(target=_generate, args=(tmp_path / 'both', barrier))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    generate_coco(tmp_path / 'one', {'train': 8}, **SMALL)
    assert files_under(tmp_path / 'both') == files_under(tmp_path / 'one')


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(classes=['blob']), r"unknown shapes \['blob'\].*'circle'"),
        (dict(classes=[]), 'unknown shapes'),
        (
            dict(radius=(9, 3)),
            r'radius=\[9, 3\] must be \(smallest, largest\)',
        ),
        (dict(image_size=4), r'image_size=\[4, 4\]'),
        (dict(image_format='bmp'), "'bmp' must be 'jpg' or 'png'"),
    ],
)
def test_impossible_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        generate_coco(tmp_path, {'train': 1}, **wrong)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_copy_leaves_the_old_file(tmp_path, monkeypatch):
    files = generate_coco(tmp_path, dict(train=1), **SMALL)
    files['train'].write_text('old')

    def interrupt(source, target):
        target.write_text('ne')
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, 'copyfile', interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate_coco(tmp_path, dict(train=1), **SMALL)
    assert files['train'].read_text() == 'old'
    assert list(files['train'].parent.iterdir()) == [files['train']]
