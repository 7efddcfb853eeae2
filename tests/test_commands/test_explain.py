"""`swin-dense explain` for a detector, a segmentor and a recognizer."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import ConfigDict

import swin_dense
from helpers.command_line import CONFIG, error_of, run
from helpers.moving_squares import moving_square
from helpers.saved_models import save_model
from swin_dense.analysis import explain
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video

HELPERS = Path(__file__).parents[1] / 'helpers'
CLASSES = ('disc', 'square', 'triangle')
ADE_CONFIG = str(HELPERS / 'tiny_upernet.py')
VIDEO_CONFIG = str(HELPERS / 'tiny_video_swin.py')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    folder = tmp_path_factory.mktemp('detector')
    return save_model(CONFIG, folder / 'weights.pth', CLASSES)


@pytest.fixture(scope='module')
def recognizer(tmp_path_factory):
    pytest.importorskip('mmaction', reason='the models are of mmaction2')
    folder = tmp_path_factory.mktemp('recognizer')
    return save_model(VIDEO_CONFIG, folder / 'weights.pth', ('right', 'left'))


@pytest.fixture
def photo(tmp_path):
    """Write an image of 60 x 40 pixels."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (10, 15, 3), np.uint8)
    path = tmp_path / 'photo.png'
    cv2.imwrite(str(path), cv2.resize(small, (60, 40)))
    return path


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / 'clip.mp4'
    write_video(path, moving_square(0, 20), 10.0)
    return path


def open_predictor(config, checkpoint, **options):
    return swin_dense.load(config, checkpoint, cfg_options=options)


def test_activation_of_a_detection(detector, photo, tmp_path, capsys):
    out = tmp_path / 'out'
    status = run(
        'explain', CONFIG, detector, photo, '--out', out, '--detection', 1
    )
    line = capsys.readouterr().out.splitlines()[-1]
    assert status == 0, line
    predictor = open_predictor(CONFIG, detector)
    result = predictor(photo)
    arrays = np.load(out / 'photo_activation.npz')
    np.testing.assert_allclose(arrays['score'], result.scores[1], rtol=1e-5)
    np.testing.assert_allclose(arrays['box'], result.boxes[1], atol=1e-3)
    name = result.names[1]
    assert f'evidence for {name} {arrays["score"]:.2f}, map' in line
    # The image is enlarged to 256 x 171 and padded to 256 x 192 pixels.
    assert arrays['level0'].shape == (48, 64)
    assert arrays['level3'].shape == (6, 8)
    assert arrays['shares'].sum() == pytest.approx(1)
    level = int(arrays['level'])
    assert arrays['shares'].argmax() == level
    assert arrays['stride'] == 4 * 2**level
    np.testing.assert_allclose(arrays['scale'], 60 / 256, rtol=2e-2)
    assert arrays['on_image'].shape == (40, 60)
    values = arrays[f'level{level}']
    assert 0 < arrays['on_image'].max() <= values.max()
    picture = cv2.imread(str(out / 'photo_activation.png'))
    assert picture.shape[1] == 60 and picture.shape[0] > 40


def test_soft_nms_keeps_gradient_and_scores(detector, photo):
    """mmcv's soft-NMS has no backward pass."""
    cut = 'model.test_cfg.rcnn'
    options = {f'{cut}.max_per_img': 1000}
    soft = dict(options)
    soft[f'{cut}.nms'] = dict(type='soft_nms', iou_threshold=0.01)
    options[f'{cut}.nms.iou_threshold'] = 1.0  # keeps all
    predictor = open_predictor(CONFIG, detector, **soft)
    scores = predictor(photo).scores
    unchanged = open_predictor(CONFIG, detector, **options)(photo).scores
    lowered = [n for n, s in enumerate(scores) if s not in unchanged]
    assert lowered, 'no score is lowered, so the test shows nothing'
    found = explain.explain_detection(predictor, str(photo), lowered[0])
    assert found.score == pytest.approx(float(scores[lowered[0]]), rel=1e-5)
    assert sum(found.shares) == pytest.approx(1)


def test_detections_are_chosen_by_class_and_pixel(detector, photo):
    predictor = open_predictor(CONFIG, detector)
    result = predictor(photo)
    label = int(result.labels[-1])
    found = explain.explain_detection(predictor, str(photo), label=label)
    best = result.scores[result.labels == label].max()
    assert found.label == label
    assert found.score == pytest.approx(float(best), rel=1e-5)
    x0, y0, x1, y1 = result.boxes[-1]
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    found = explain.explain_detection(predictor, str(photo), at=middle)
    assert found.box[0] <= middle[0] <= found.box[2]
    assert found.box[1] <= middle[1] <= found.box[3]
    with pytest.raises(ValueError, match='there are .* detections at .*no de'):
        explain.explain_detection(predictor, str(photo), 99, at=middle)
    with pytest.raises(ValueError, match='no map 9: .* the maps 0 to 3'):
        explain.explain_detection(predictor, str(photo), level=9)


def test_attention_at_a_pixel(detector, photo, tmp_path, capsys):
    out = tmp_path / 'out'
    status = run(
        *('explain', CONFIG, detector, photo, '--out', out),
        *('--block', '0.1', '--at', 30, 20, '--head', 'all'),
    )
    assert status == 0, capsys.readouterr().err
    arrays = np.load(out / 'photo_attention_0.1.npz')
    assert arrays['attention'].shape == (1, 48, 64)
    # The pixel is in the middle of the input, 256 x 171, tokens of 4 pixels.
    assert arrays['query'].tolist() == [21, 32]
    total = arrays['attention'].sum((1, 2)) + arrays['padding']
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    rows, columns = np.nonzero(arrays['attention'][0])
    # Windows of 4 tokens, shifted by 2.
    assert (rows.min(), rows.max()) == (18, 21)
    assert (columns.min(), columns.max()) == (30, 33)
    on_image = arrays['on_image']
    assert on_image.shape == (40, 60)
    inside = np.nonzero(on_image.sum(0))[0]
    assert inside.min() == 28 and inside.max() == 31
    assert (out / 'photo_attention_0.1.png').is_file()


def test_attention_that_tokens_receive(detector, photo, tmp_path, capsys):
    out = tmp_path / 'out'
    args = ('explain', CONFIG, detector, photo, '--out', out, '--block', '2.0')
    assert run(*args) == 0
    arrays = np.load(out / 'photo_attention_2.0.npz')
    assert 'query' not in arrays and arrays['attention'].shape == (2, 12, 16)
    assert 0 < arrays['attention'].sum() <= 2 * 12 * 16 + 1e-3
    assert 'mean of 2 heads' in capsys.readouterr().out
    assert run(*args, '--head', 2) == 1
    assert 'no head 2: block 2.0 has the heads 0 to 1' in (
        capsys.readouterr().err
    )


def test_a_class_at_a_pixel(photo, tmp_path, capsys):
    pytest.importorskip('mmseg', reason='the models are of mmsegmentation')
    from mmseg.datasets import ADE20KDataset

    classes = ADE20KDataset.METAINFO['classes']
    weights = save_model(ADE_CONFIG, tmp_path / 'w.pth', classes)
    out = tmp_path / 'out'
    args = ('explain', ADE_CONFIG, weights, photo, '--out', out)
    assert run(*args, '--at', 50, 10) == 0, capsys.readouterr().err
    arrays = np.load(out / 'photo_activation.npz')
    predictor = open_predictor(ADE_CONFIG, weights)
    labels = predictor(photo).label_map
    assert arrays['label'] == labels[10, 50]
    ((_, _, logits),) = predictor.logits(str(photo))
    np.testing.assert_allclose(
        arrays['score'], logits[:, 10, 50].max(), rtol=1e-5
    )
    # 60 x 40 pixels are resized to 48 x 32.
    assert arrays['level0'].shape == (8, 12)
    assert arrays['on_image'].shape == (40, 60)
    # Parts as in sliding, then as before.
    predictor.model.test_cfg = ConfigDict(
        mode='slide', crop_size=(32, 32), stride=(16, 16)
    )
    whole = explain.explain_segmentation(
        predictor, str(photo), (50, 10), int(arrays['label'])
    )
    assert whole.score == pytest.approx(float(arrays['score']), rel=1e-5)
    assert predictor.model.test_cfg['mode'] == 'slide'
    absent = next(n for n in range(150) if n not in labels)
    assert run(*args, '--class', classes[absent]) == 1
    assert 'no pixel is predicted as' in capsys.readouterr().err
    assert run(*args, '--class', 'skyy') == 1
    assert "no class 'skyy'; did you mean sky?" in capsys.readouterr().err


def test_activation_along_a_video(recognizer, clip, tmp_path, capsys):
    out = tmp_path / 'out'
    args = ('explain', VIDEO_CONFIG, recognizer, clip, '--out', out)
    assert run(*args, '--class', 'left') == 0, capsys.readouterr().err
    arrays = np.load(out / 'clip_activation.npz')
    # Windows of 4 frames in steps of 2, temporal patches of 2 frames.
    assert arrays['frames'].tolist() == [
        [0, 2, 4, 6],
        [8, 10, 12, 14],
        [12, 14, 16, 18],
    ]
    np.testing.assert_allclose(arrays['times'], arrays['frames'] / 10)
    assert arrays['activation'].shape == (3, 2, 1, 1)
    assert arrays['label'].tolist() == [1, 1, 1]
    predictor = open_predictor(VIDEO_CONFIG, recognizer)
    assert arrays['score'].shape == (3,)
    with Video(str(out / 'clip_activation.mp4')) as video:
        assert video.num_frames == 12 and video.fps == 5
        frame = video.frames([0])[0]
        assert frame.shape[1] == 32 and frame.shape[0] > 32
    assert cv2.imread(str(out / 'clip_activation.png')).shape[1] > 4 * 32
    with Video(str(clip)) as video:
        frames = video.frames(arrays['frames'][1])
    found = explain.explain_clip(predictor, frames, 1, method='grad-cam')
    assert found.score == pytest.approx(float(arrays['score'][1]), rel=1e-4)
    assert predictor.model.cls_head.average_clips == 'prob'


def test_attention_in_a_video(recognizer, clip, tmp_path, capsys):
    out = tmp_path / 'out'
    args = ('explain', VIDEO_CONFIG, recognizer, clip, '--out', out)
    # Frames of 64 x 48 pixels are resized to 43 x 32, and the middle cut out.
    status = run(*args, '--block', '0.0', '--at', 32, 24, 1.4)
    assert status == 0, capsys.readouterr().err
    arrays = np.load(out / 'clip_attention_0.0.npz')
    assert arrays['frames'].tolist() == [[8, 10, 12, 14]]
    assert arrays['attention'].shape == (1, 1, 2, 8, 8)
    assert arrays['query'].tolist() == [1, 4, 4]
    total = arrays['attention'].sum((2, 3, 4)) + arrays['padding']
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert run(*args, '--block', '0.0', '--at', 0, 24, 1.4) == 1
    assert 'the model does not see the pixel 0, 24' in capsys.readouterr().err
    assert run(*args, '--block', '0.0', '--at', 32, 24, 9) == 1
    assert 'has frames from 0 to 1.90 s' in capsys.readouterr().err


@pytest.mark.parametrize(
    'args, message',
    [
        (['--head', 1], '--head is for attention: add --block'),
        (['--block', '2'], '--block must be STAGE.BLOCK, such as 2.5, got'),
        (['--block', '0.0', '--level', 1], '--level is for class activation'),
        (['--block', '0.0', '--class', 'disc'], '--class is for class act'),
        (['--block', '0.0', '--head', 'x'], '--head must be numbers of heads'),
        (['--at', 1, 2, 3], '--at takes X Y for detectors, got 3 numbers'),
    ],
)
def test_options_out_of_place_are_refused(args, message, tmp_path, capsys):
    status = run(
        'explain', CONFIG, 'no.pth', 'no.png', '--out', tmp_path, *args
    )
    assert message in error_of(capsys, status)


def test_bad_inputs_do_not_stop_the_others(detector, photo, tmp_path, capsys):
    bad = tmp_path / 'bad.png'
    bad.write_bytes(b'no image')
    out = tmp_path / 'out'
    args = ('explain', CONFIG, detector, bad, photo, '--out', out)
    assert run(*args) == 1
    error = capsys.readouterr().err
    assert 'skipped: ' in error and '1 of 2 images could not be read' in error
    assert (out / 'photo_activation.png').is_file()
    assert run(*args, '--at', 59, 39, '--skip-bad', '--block', '0.0') == 0
    assert run(*args, '--at', 60, 39, '--skip-bad', '--block', '0.0') == 0
    assert 'the pixel 60, 39 is outside of the image' in (
        capsys.readouterr().err
    )
