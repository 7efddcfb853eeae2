"""Predict label maps, as a user would: whole, in tiles, and wrongly."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope

from helpers.ade import write_ade
from helpers.command_line import CONFIG as DETECTOR
from helpers.command_line import error_of, run
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.launch import load_config

pytest.importorskip('mmseg', reason='the models are of mmseg')

from mmseg.datasets import ADE20KDataset  # noqa: E402
from mmseg.datasets.transforms import LoadAnnotations  # noqa: E402

from swin_dense.segmentation import write_predictions  # noqa: E402
from swin_dense.segmentation.predictor import SegmentationPredictor  # noqa: E402
from swin_dense.segmentation.result import class_areas  # noqa: E402

CONFIG = str(Path(__file__).parents[1] / 'helpers' / 'tiny_upernet.py')
CLASSES = ADE20KDataset.METAINFO['classes']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of the tiny segmentor that predict many classes."""
    torch.manual_seed(0)
    init_default_scope('mmseg')
    model = revert_sync_batchnorm(MODELS.build(load_config(CONFIG).model))
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    torch.save(
        dict(
            meta=dict(dataset_meta=dict(classes=CLASSES)),
            state_dict=model.state_dict(),
        ),
        path,
    )
    return path


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """A folder with two photographs, 40 x 56 and 56 x 72."""
    root = tmp_path_factory.mktemp('ade')
    write_ade(root)
    return root / 'images' / 'validation'


@pytest.fixture(scope='module')
def predictor(checkpoint):
    return SegmentationPredictor(CONFIG, str(checkpoint))


def whole(parts, shape):
    result = torch.full(shape, torch.nan)
    for rows, columns, logits in parts:
        result[:, rows, columns] = logits
    return result


def test_pictures_label_maps_and_areas(
    checkpoint, photos, predictor, tmp_path, capsys
):
    assert (
        run(
            'predict',
            CONFIG,
            checkpoint,
            photos,
            f'{photos}/*.jpg',
            '--out',
            tmp_path,
            '--batch-size',
            2,
            '--areas',
        )
        == 0
    )
    shown = capsys.readouterr()
    assert '2 images' in shown.out and not shown.err
    assert 'mmengine - INFO' not in shown.out
    assert sorted(
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')
    ) == [
        '0.jpg',
        '1.jpg',
        'areas.json',
        'labels',
        'labels/0.png',
        'labels/1.png',
    ]
    areas = json.loads((tmp_path / 'areas.json').read_text())
    assert areas['classes'] == list(CLASSES)
    for name, entry in zip('01', areas['images']):
        photo = cv2.imread(str(photos / f'{name}.jpg'))
        labels = predictor(photo).label_map
        assert labels.shape == photo.shape[:2] and labels.dtype == np.uint8
        assert len(np.unique(labels)) > 1
        path = tmp_path / 'labels' / f'{name}.png'
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(stored, labels + 1)
        # As a label map of the data set, it is read as what was predicted.
        loaded = LoadAnnotations()(
            dict(seg_map_path=str(path), reduce_zero_label=True, seg_fields=[])
        )
        np.testing.assert_array_equal(loaded['gt_seg_map'], labels)
        assert entry['file_name'] == str(photos / f'{name}.jpg')
        assert entry['label_map'] == str(path)
        assert entry['areas'] == class_areas(labels, CLASSES)
        drawn = cv2.imread(str(tmp_path / f'{name}.jpg'))
        assert drawn.shape[0] > photo.shape[0]  # the legend
        assert drawn.shape[1] >= photo.shape[1]


def test_one_tile_is_the_whole(checkpoint, photos, predictor):
    tiled = SegmentationPredictor(CONFIG, str(checkpoint), tile=(64, 80))
    for photo in sorted(photos.iterdir()):
        pixels = cv2.imread(str(photo))
        shape = (150, *pixels.shape[:2])
        expected = whole(predictor.logits(photo), shape)
        result = whole(tiled.logits(photo), shape)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=0)
        labels = predictor(pixels).label_map
        np.testing.assert_array_equal(tiled(photo).label_map, labels)
        np.testing.assert_array_equal(labels, expected.argmax(0).numpy())


def test_each_tile_is_predicted_as_an_image(checkpoint, photos, predictor):
    """Corners that one tile alone covers have its logits."""
    photo = cv2.imread(str(photos / '1.jpg'))  # 56 x 72
    steps = []
    tiled = SegmentationPredictor(
        CONFIG, str(checkpoint), tile=(32, 32), on_tile=lambda: steps.append(1)
    )
    result = whole(tiled.logits(photo), (150, 56, 72))
    assert len(steps) == tiled.count_tiles(56, 72) == 2 * 3
    corner = photo[:32, :32].copy()
    expected = whole(predictor.logits(corner), (150, 32, 32))
    torch.testing.assert_close(
        result[:, :20, :10], expected[:, :20, :10], atol=1e-4, rtol=0
    )
    labels = tiled(photo).label_map
    np.testing.assert_array_equal(labels, result.argmax(0).numpy())


def test_tiles_and_colours_on_the_command_line(
    checkpoint, photos, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('FORCE_COLOR', '1')  # Rich shows bars, too
    assert (
        run(
            'predict',
            CONFIG,
            checkpoint,
            photos,
            '--out',
            tmp_path,
            '--tile',
            32,
            '--overlap',
            0.5,
            '--colours',
        )
        == 0
    )
    # 2 x 3 of the first image, 3 x 4 of the second.
    assert '18/18' in capsys.readouterr().err
    stored = cv2.imread(str(tmp_path / 'labels/1.png'), cv2.IMREAD_UNCHANGED)
    assert stored.shape == (56, 72) and stored.min() >= 1
    # A copy has the colours of ADE20K's palette, red first.
    palette = np.array(ADE20KDataset.METAINFO['palette'], np.uint8)
    colours = cv2.imread(str(tmp_path / 'colours/1.png'))
    np.testing.assert_array_equal(colours[..., ::-1], palette[stored - 1])
    assert (tmp_path / 'colours/0.png').is_file()


def test_some_classes_keep_the_values_of_all(checkpoint, tmp_path):
    """A model of some classes writes label maps of the data set of all."""
    stored = read_checkpoint(checkpoint)
    names = ['sky', 'wall', 'flag']
    for name in ('decode_head.conv_seg', 'auxiliary_head.conv_seg'):
        for key in (f'{name}.weight', f'{name}.bias'):
            stored['state_dict'][key] = stored['state_dict'][key][:3]
    stored['meta']['dataset_meta']['classes'] = names
    path = tmp_path / 'three.pth'
    torch.save(stored, path)
    heads = {
        f'model.{head}.num_classes': 3
        for head in ('decode_head', 'auxiliary_head')
    }
    predictor = SegmentationPredictor(CONFIG, str(path), heads)
    assert predictor.classes == names
    # wall is the first class of the files, sky the third, flag the last.
    assert predictor.file_values.tolist() == [3, 1, 150]
    assert predictor.palette == [
        ADE20KDataset.METAINFO['palette'][i] for i in (2, 0, 149)
    ]


def test_wrong_number_of_classes(checkpoint, photos, tmp_path, capsys):
    error = error_of(
        capsys,
        run(
            'predict',
            CONFIG,
            checkpoint,
            photos,
            '--out',
            tmp_path / 'out',
            '--cfg-options',
            'model.decode_head.num_classes=149',
        ),
    )
    assert 'has 150 classes' in error
    assert 'model.decode_head (UPerHead): num_classes=149' in error
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'config, options, message',
    [
        (CONFIG, ['--score-thr', 0.5], '--score-thr is for detectors'),
        (CONFIG, ['--overlap', 0.5], 'give their size by --tile'),
        (CONFIG, ['--tile', 0], 'a tile must be a height and a width'),
        (CONFIG, ['--tile', 8, 8, 8], 'a tile must be a height and a width'),
        (CONFIG, ['--tile', 8, '--overlap', 1], 'from 0 to below 1'),
        (DETECTOR, ['--areas'], '--areas is for segmentors'),
        (DETECTOR, ['--tile', 64], '--tile is for segmentors'),
        (DETECTOR, ['--overlap', 0], '--overlap is for segmentors'),
        (CONFIG, ['--track'], '--track is for detectors'),
    ],
)
def test_options_that_do_not_fit(
    checkpoint, photos, tmp_path, capsys, config, options, message
):
    assert message in error_of(
        capsys,
        run(
            'predict',
            config,
            checkpoint,
            photos,
            '--out',
            tmp_path / 'out',
            *options,
        ),
    )
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('options', [[], ['--tile', 32]])
def test_bad_images_are_named_and_the_others_done(
    checkpoint, photos, tmp_path, capsys, options
):
    source = tmp_path / 'in'
    source.mkdir()
    content = (photos / '0.jpg').read_bytes()
    (source / 'good.jpg').write_bytes(content)
    (source / 'cut.jpg').write_bytes(content[:-200])
    error = error_of(
        capsys,
        run(
            'predict',
            CONFIG,
            checkpoint,
            source,
            '--out',
            tmp_path / 'out',
            *options,
        ),
    )
    assert '1 of 2 images could not be read' in error
    assert (tmp_path / 'out' / 'labels' / 'good.png').is_file()
    assert not (tmp_path / 'out' / 'cut.jpg').exists()


def test_large_pictures_are_drawn_smaller(
    checkpoint, photos, tmp_path, monkeypatch
):
    """Label maps keep their size."""
    monkeypatch.setattr(write_predictions, 'LARGEST', 36)
    assert (
        run('predict', CONFIG, checkpoint, photos / '1.jpg', '--out', tmp_path)
        == 0
    )
    drawn = cv2.imread(str(tmp_path / '1.jpg'))
    assert drawn[:20, :36].std() > 10
    assert drawn[:20, 48:].min() > 240  # beside it, above the legend
    assert cv2.imread(str(tmp_path / 'labels/1.png')).shape == (56, 72, 3)


def test_label_maps_never_overwrite_each_other_or_an_image(
    checkpoint, photos, tmp_path, capsys
):
    assert write_predictions.label_paths(
        [Path('out', name) for name in ('a/x.jpg', 'b.png')], Path('out')
    ) == [Path('out/labels/a/x.png'), Path('out/labels/b.png')]
    pictures = [Path('out', name) for name in ('x.jpg', 'x.png', 'y.png')]
    assert write_predictions.label_paths(pictures, Path('out')) == [
        Path('out/labels', name)
        for name in ('x.jpg.png', 'x.png.png', 'y.png')
    ]
    image = tmp_path / 'labels' / 'x.png'
    image.parent.mkdir()
    cv2.imwrite(str(image), cv2.imread(str(photos / '0.jpg')))
    error = error_of(
        capsys, run('predict', CONFIG, checkpoint, image, '--out', tmp_path)
    )
    assert 'labels/x.png would overwrite the input' in error
