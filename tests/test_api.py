"""Python in three lines: load a model, call it, use the result."""

import functools
import inspect
import json
import subprocess
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import swin_dense
from helpers.file_server import Quiet
from helpers.moving_squares import moving_square
from swin_dense.data.decoders.base import VideoError
from swin_dense.data.video_writer import write_video
from swin_dense.engine.launch import load_config
from swin_dense.engine.results import Result
from swin_dense.model_list import ARCHS

for host in ('mmdet', 'mmseg', 'mmaction'):
    pytest.importorskip(host, reason='models of all tasks are loaded')

from mmseg.datasets import ADE20KDataset  # noqa: E402

HELPERS = Path(__file__).parent / 'helpers'
CONFIGS = {
    'detection': HELPERS / 'tiny_mask_rcnn.py',
    'segmentation': HELPERS / 'tiny_upernet.py',
    'video': HELPERS / 'tiny_video_swin.py',
}
CLASSES = {
    'detection': ('circle', 'square', 'triangle'),
    'segmentation': ADE20KDataset.METAINFO['classes'],
    'video': ('right', 'left'),
}
SIZE = 48, 64  # of the image, height and width


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights for each task, as paths."""
    folder = tmp_path_factory.mktemp('weights')
    paths = {}
    for task, config in CONFIGS.items():
        torch.manual_seed(0)
        cfg = load_config(config)
        init_default_scope(cfg.default_scope)
        model = MODELS.build(cfg.model)
        model.init_weights()
        for name in ('decode_head.conv_seg', 'cls_head.fc_cls'):
            try:  # scores far apart
                torch.nn.init.normal_(model.get_submodule(name).weight)
            except AttributeError:
                continue
        paths[task] = folder / f'{task}.pth'
        meta = dict(dataset_meta=dict(classes=CLASSES[task]))
        torch.save(dict(meta=meta, state_dict=model.state_dict()), paths[task])
    return paths


@pytest.fixture(scope='module')
def models(weights):
    """Models of all tasks, loaded one after the other."""
    return {
        task: swin_dense.load(CONFIGS[task], weights[task], device='cpu')
        for task in CONFIGS
    }


@pytest.fixture(scope='module')
def image():
    """An image (H, W, 3) in BGR whose channels differ."""
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (*SIZE, 3), np.uint8)
    image[..., 0] //= 3
    return image


@pytest.fixture(scope='module')
def served(tmp_path_factory, image):
    """Serve an image, a video and a page; return folder and address."""
    folder = tmp_path_factory.mktemp('served')
    cv2.imwrite(str(folder / 'image.png'), image)
    write_video(folder / 'clip.mp4', moving_square(0), 10.0)
    (folder / 'page.html').write_text('<html>sign in</html>')
    handler = functools.partial(Quiet, directory=str(folder))
    server = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def same(result, other):
    assert type(result) is type(other)
    for name in ('boxes', 'labels', 'scores', 'label_map', 'masks'):
        first, second = getattr(result, name), getattr(other, name)
        assert (first is None) == (second is None), name
        if first is not None:
            np.testing.assert_array_equal(first, second, name)


def test_importing_costs_little():
    """Public names are imported on use."""
    code = (
        'import sys, swin_dense; names = dir(swin_dense); '
        'print("torch" in sys.modules); swin_dense.list_models(); '
        'print("torch" in sys.modules, "load" in names); '
        'swin_dense.SwinTransformer; print("torch" in sys.modules, '
        '"mmdet" in sys.modules)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.stdout == 'False\nFalse True\nTrue False\n', done.stderr


def test_public_names():
    from swin_dense import backbones

    for name in swin_dense.__all__:
        assert name in dir(swin_dense)
        assert getattr(swin_dense, name) is not None
    assert {*backbones.__all__} < {*swin_dense.__all__}
    with pytest.raises(AttributeError, match="no attribute 'SwinTransfomer'"):
        swin_dense.SwinTransfomer  # noqa: B018


@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_every_kind_of_image_gives_the_same_result(
    task, models, image, served, tmp_path
):
    folder, address = served
    path = folder / 'image.png'
    model = models[task]
    rgb = np.ascontiguousarray(image[..., ::-1])
    chw = torch.from_numpy(rgb).permute(2, 0, 1)
    expected = model(image)
    assert isinstance(expected, Result)
    for given, name in (
        (path, str(path)),
        (str(path), str(path)),
        (f'{address}/image.png', f'{address}/image.png'),
        (image, None),
        (Image.fromarray(rgb), None),
        (Image.open(path), str(path)),
        (chw, None),
        (chw.float() / 255, None),
    ):
        result = model(given)
        same(result, expected)
        assert result.path == name
        np.testing.assert_array_equal(result.image, image)
    results = model([path, image, chw], batch_size=2)
    assert isinstance(results, list) and len(results) == 3
    for result in results:
        assert result.image.shape == image.shape
    assert len(model((image,))) == 1 and model([]) == []


def test_grey_images(models):
    grey = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    expected = models['segmentation'](np.stack([grey] * 3, 2))
    for given in (
        grey,
        grey[..., None],
        Image.fromarray(grey),
        torch.from_numpy(grey),
        torch.from_numpy(grey)[None],
    ):
        same(models['segmentation'](given), expected)


def test_the_order_of_channels(models, weights, image):
    """It concerns arrays, not PIL images and tensors."""
    rgb = swin_dense.load(
        CONFIGS['detection'], weights['detection'], channel_order='rgb'
    )
    swapped = np.ascontiguousarray(image[..., ::-1])
    expected, result = models['detection'](image), rgb(swapped)
    same(result, expected)
    same(rgb(Image.fromarray(swapped)), expected)
    np.testing.assert_array_equal(result.image, swapped)
    options = dict(score_thr=0)
    np.testing.assert_array_equal(
        result.draw(**options), expected.draw(**options)[..., ::-1]
    )
    assert not np.array_equal(rgb(image).scores, expected.scores)


def refused(inputs):
    return [pytest.param(*row, id=row[2][:30]) for row in inputs]


@pytest.mark.parametrize(
    'given, error, message',
    refused(
        [
            (None, TypeError, 'got a NoneType; expected a path, an addr'),
            (3, TypeError, 'got a int; expected'),
            (b'x.jpg', TypeError, 'got a bytes; expected'),
            ({'a': 1}, TypeError, 'got a dict; expected'),
            ([['a.jpg']], TypeError, 'got a list; expected'),
            ('no.jpg', FileNotFoundError, 'image no.jpg does not exist'),
            ('.', ValueError, 'is a folder, not a file'),
            (
                np.zeros((2, *SIZE, 3), np.uint8),
                ValueError,
                r'array of shape \(2, 48, 64, 3\): make a list of it, list\(',
            ),
            (
                np.zeros((*SIZE, 4), np.uint8),
                ValueError,
                'leave the fourth channel out',
            ),
            (np.zeros((*SIZE, 3)), ValueError, 'array of float64; expected u'),
            (np.zeros((0, 4, 3), np.uint8), ValueError, r'\(0, 4, 3\); exp'),
            (
                torch.zeros(2, 3, *SIZE),
                ValueError,
                r'tensor of shape \(2, 3, 48, 64\): make a list of it, list\(',
            ),
            (
                torch.zeros(*SIZE, 3),
                ValueError,
                r'channels come first, tensor.movedim\(-1, -3\)',
            ),
            (
                torch.full((3, *SIZE), 2.0),
                ValueError,
                'values from 2 to 2; expected uint8 from 0 to 255',
            ),
            (
                torch.zeros(3, *SIZE, dtype=torch.int64),
                ValueError,
                'tensor of torch.int64; expected uint8',
            ),
            (
                Image.new('I;16', SIZE),
                ValueError,
                'mode I;16 has more than 8 bits',
            ),
        ]
    ),
)
@pytest.mark.parametrize('task', ['detection', 'segmentation'])
def test_anything_else_is_refused(task, given, error, message, models):
    with pytest.raises(error, match=message):
        models[task](given)


def test_addresses_that_are_no_images(models, served):
    _, address = served
    for name, message in (
        ('absent.png', 'absent.png cannot be downloaded: HTTP Error 404'),
        ('page.html', 'page.html cannot be decoded: it is not an image'),
        ('image.png?cut', 'cannot be downloaded: .* bytes are missing'),
    ):
        with pytest.raises(ValueError, match=message):
            models['detection'](f'{address}/{name}')


def test_instances(models, image, tmp_path):
    result = models['detection'](image)
    count = len(result)
    assert count > 1 and result.boxes.shape == (count, 4)
    assert (np.diff(result.scores) <= 0).all()
    assert result.masks.shape == (count, *SIZE) and result.masks.dtype == bool
    assert result.label_map is None
    assert result.names == [
        CLASSES['detection'][label] for label in result.labels
    ]
    assert f'64x48: {count} instances' in repr(result)
    name = result.names[0]
    kept = result.keep(classes=[name])
    assert 0 < len(kept) and {*kept.names} == {name}
    best = result.keep(score_thr=result.scores[0])
    assert len(best) < count and best.masks.shape[0] == len(best)
    with pytest.raises(ValueError, match="no class 'squar'; did you mean sq"):
        result.keep(classes=['squar'])

    entries = result.to_coco(image_id=7, category_ids=[3, 5, 8])
    assert [entry['category_name'] for entry in entries] == result.names
    ids = dict(circle=3, square=5, triangle=8)
    for entry, mask, box in zip(entries, result.masks, result.boxes):
        assert entry['image_id'] == 7
        assert entry['category_id'] == ids[entry['category_name']]
        np.testing.assert_array_equal(
            coco_mask.decode(entry['segmentation']), mask
        )
        x, y, width, height = entry['bbox']
        np.testing.assert_allclose(
            [x, y, x + width, y + height], box, atol=0.02
        )
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=1)], categories=[dict(id=i) for i in (1, 2, 3)]
    )
    truth.createIndex()
    written = result.save(tmp_path / 'a' / 'result.json')
    assert len(truth.loadRes(str(written)).anns) == count

    picture = result.draw(score_thr=0)
    assert picture.shape == image.shape and (picture != image).any()
    np.testing.assert_array_equal(result.draw(score_thr=1.1), image)
    result.save(tmp_path / 'result.png', score_thr=0)
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / 'result.png')), picture
    )
    assert result._repr_jpeg_()[:2] == b'\xff\xd8'
    with pytest.raises(ValueError, match='result.txt: expected one of .jpg'):
        result.save(tmp_path / 'result.txt')
    with pytest.raises(ValueError, match='no picture: leave score_thr out'):
        result.save(tmp_path / 'result.json', score_thr=0)


def test_label_maps(models, image, tmp_path):
    result = models['segmentation'](image)
    assert result.label_map.shape == SIZE
    assert result.label_map.dtype == np.uint8
    assert result.boxes is None and result.scores is None
    np.testing.assert_array_equal(result.labels, np.unique(result.label_map))
    assert result.names[0] == CLASSES['segmentation'][result.labels[0]]
    assert (result.masks.sum(0) == 1).all()
    assert sum(area['pixels'] for area in result.areas().values()) == 48 * 64
    assert '64x48: ' in repr(result)
    path = result.save_label_map(tmp_path / 'labels.png')
    np.testing.assert_array_equal(
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED), result.label_map + 1
    )
    entries = result.to_coco()
    for entry, label, mask in zip(entries, result.labels, result.masks):
        assert entry['category_id'] == label + 1  # as in the file
        np.testing.assert_array_equal(
            coco_mask.decode(entry['segmentation']), mask
        )
    assert json.loads(result.save(tmp_path / 'a.json').read_text()) == entries
    assert result.draw(legend=False).shape == image.shape
    with pytest.raises(ValueError, match='a label map is stored as .png'):
        result.save_label_map(tmp_path / 'labels.jpg')


def test_classes_of_a_video(models, served, tmp_path):
    folder, address = served
    model = models['video']
    frames = moving_square(0)  # RGB
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    expected = model(frames[..., ::-1])
    for given in (tensor, tensor.float() / 255):
        np.testing.assert_array_equal(model(given).values, expected.values)
    from_file = model(folder / 'clip.mp4')
    assert from_file.fps == 10 and expected.fps is None
    np.testing.assert_allclose(from_file.values, expected.values, atol=0.05)
    online = model(f'{address}/clip.mp4')
    np.testing.assert_array_equal(online.values, from_file.values)
    assert online.path == f'{address}/clip.mp4'
    assert [r.num_frames for r in model([frames, tensor])] == [20, 20]

    assert from_file.scores.sum() == pytest.approx(1, abs=1e-5)
    assert from_file.scores[0] == from_file.values.max()
    top = from_file.top(1)[0]
    assert from_file.names[0] == top['name'] and top['name'] in repr(from_file)
    for result in (expected, online):
        assert result.draw().shape[1] == 3 * 64
        result.save(tmp_path / 'clip.mp4')
        again = model(tmp_path / 'clip.mp4')
        assert again.num_frames == 20
    content = json.loads(online.save(tmp_path / 'x.json').read_text())
    assert content['frames'] == 20 and len(content['windows']) == 3


@pytest.mark.parametrize(
    'given, error, message',
    refused(
        [
            (Image.new('RGB', SIZE), TypeError, 'PIL.Image.Image; expected a'),
            (
                np.zeros((*SIZE, 3), np.uint8),
                ValueError,
                r'stack the frames, np.stack\(frames\)',
            ),
            (torch.zeros(3, *SIZE), ValueError, 'torch.stack'),
            (None, TypeError, 'got a NoneType'),
            ('no.mp4', VideoError, 'no.mp4 does not exist'),
        ]
    ),
)
def test_what_is_no_video_is_refused(given, error, message, models):
    with pytest.raises(error, match=message):
        models['video'](given)


def test_a_config_by_name_path_or_object(weights, image, monkeypatch):
    path = weights['detection']
    config = load_config(CONFIGS['detection'])
    before = config.dump()
    options = {'model.test_cfg.rcnn.max_per_img': 1}
    model = swin_dense.load(config, str(path), cfg_options=options)
    assert len(model(image)) == 1
    assert config.dump() == before
    with pytest.raises(swin_dense.checkpoints.CheckpointError):
        swin_dense.load('mask_rcnn_swin_nano_shapes', path)
    for config, error, message in (
        ('mask_rcnn_swin_t_cooc', FileNotFoundError, 'mask_rcnn_swin_t_coco'),
        (3, TypeError, 'config must be a name, a path or a Config, got a int'),
    ):
        with pytest.raises(error, match=message):
            swin_dense.load(config, path)


@pytest.mark.parametrize(
    'options, error, message',
    [
        (dict(tile=(8, 8)), TypeError, "detectors have no option 'tile'"),
        (dict(text='a'), TypeError, 'did you mean texts?'),
        (dict(channel_order='RGB'), ValueError, "'bgr' or 'rgb', got 'RGB'"),
        (dict(device='gpu'), ValueError, '^device gpu is not a device'),
    ],
)
def test_options_that_are_refused(options, error, message, weights):
    with pytest.raises(error, match=message):
        swin_dense.load(CONFIGS['detection'], weights['detection'], **options)


def test_options_of_the_tasks(weights, image):
    model = swin_dense.load(
        CONFIGS['segmentation'], weights['segmentation'], tile=(32, 32)
    )
    assert model(image).label_map.shape == SIZE
    with pytest.raises(ValueError, match='batch_size must be 1 or more'):
        model([image], batch_size=0)


def test_models_that_can_be_built():
    names = swin_dense.list_models()
    assert len(names) == len(set(names)) > 100
    for cls, archs in ARCHS.items():
        backbone = getattr(swin_dense, cls)
        assert 'arch' in inspect.signature(backbone).parameters
        for arch in archs:
            assert f'{cls}(arch={arch!r})' in names
    with torch.device('meta'):
        for cls, archs in ARCHS.items():
            getattr(swin_dense, cls)(arch=[*archs][0])
    assert 'mask_rcnn_swin_t_coco' in names
    assert swin_dense.list_models('*_t_coco', 'recipes') == [
        name for name in names if name.endswith('_t_coco')
    ]
    assert swin_dense.list_models('V2(')[0] == "SwinTransformerV2(arch='tiny')"
    assert not swin_dense.list_models('swint5')
    with pytest.raises(ValueError, match="kind must be .*, got 'arch'"):
        swin_dense.list_models(kind='arch')
