"""Feature maps of stages and frames equal the backbone's outputs."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers.models import NARROW, randomize
from helpers.moving_squares import moving_square
from helpers.reference import assert_close
from swin_dense.backbones import SwinTransformer, SwinTransformer3D
from swin_dense.data.video_reader import Video
from swin_dense.data.video_writer import write_video
from swin_dense.video.features import (
    MEAN,
    STD,
    extract_features,
    extract_video,
)

ALL = (0, 1, 2, 3)


def make(**kwargs):
    return randomize(
        SwinTransformer3D(NARROW, window_size=(2, 4, 4), **kwargs)
    )


def normalised(frames):
    x = torch.from_numpy(frames).movedim(-1, 0).float()
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


@pytest.mark.parametrize(
    'frames, size', [(6, (48, 64)), (5, (37, 50)), (2, (8, 8))]
)
def test_maps_are_the_outputs(frames, size):
    model = make(out_indices=ALL)
    clip = moving_square(0, 8, (48, 64))[:frames, : size[0], : size[1]]
    maps = extract_features(model, clip, ALL)
    with torch.no_grad():
        outputs = model.eval()(normalised(clip)[None])
    for stage, out in enumerate(outputs):
        channels, stride = 8 * 2**stage, 4 * 2**stage
        assert maps[stage].shape == (
            -(-frames // 2),
            channels,
            -(-size[0] // stride),
            -(-size[1] // stride),
        )
        assert_close(maps[stage], out[0].movedim(0, 1), 1e-6)


def test_stages_without_a_norm_are_raw():
    every, last = make(out_indices=ALL), make(out_indices=(3,))
    last.load_state_dict(every.state_dict(), strict=False)
    clip = moving_square(0, 4)
    maps, raw = (extract_features(m, clip, (1, 3)) for m in (every, last))
    assert_close(maps[3], raw[3], 1e-6)
    x = every.norm1(raw[1].movedim(1, -1)).movedim(-1, 1)
    assert_close(maps[1], x.detach(), 1e-6)


def test_outputs_after_merging():
    model = make(out_indices=(0, 3), out_after_downsample=True)
    clip = moving_square(0, 4)
    maps = extract_features(model, clip, (0, 3))
    with torch.no_grad():
        first, last = model.eval()(normalised(clip)[None])
    assert_close(maps[0], first[0].movedim(0, 1), 1e-6)
    assert_close(maps[3], last[0].movedim(0, 1), 1e-6)


def test_a_map_for_every_frame():
    model = make()
    clip = moving_square(0, 7)
    (maps,) = extract_features(model, clip, (2,)).values()
    (frames,) = extract_features(model, clip, (2,), per_frame=True).values()
    assert frames.shape == (7, *maps.shape[1:]) and len(maps) == 4
    # Ends are those of the first and last patch. In between, maps change
    # linearly from middle to middle of patches, 7/4 frames apart.
    assert_close(frames[0], maps[0], 1e-6)
    place = (3 + 0.5) * 4 / 7 - 0.5
    low = int(place)
    share = place - low
    assert_close(
        frames[3], maps[low] * (1 - share) + maps[low + 1] * share, 1e-5
    )
    model = make(patch_size=(1, 4, 4))
    for per_frame in (False, True):
        (maps,) = extract_features(model, clip, (3,), per_frame).values()
        assert len(maps) == 7


def test_recognizers_normalise_by_their_own_numbers():

    class Recognizer(nn.Module):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone
            self.data_preprocessor = nn.Module()
            self.data_preprocessor.mean = torch.full((3, 1, 1, 1), 10.0)
            self.data_preprocessor.std = torch.full((3, 1, 1, 1), 2.0)

    backbone = make()
    clip = moving_square(0, 4)
    maps = extract_features(Recognizer(backbone), clip)
    x = (torch.from_numpy(clip).movedim(-1, 0).float() - 10) / 2
    other = extract_features(backbone, x)
    for stage in ALL:
        assert_close(maps[stage], other[stage], 1e-6)
    assert not torch.equal(maps[3], extract_features(backbone, clip)[3])


def test_model_is_left_as_it_was():
    model = make(drop_path_rate=0.5).train()
    clip = moving_square(0, 4)
    first, second = (extract_features(model, clip)[3] for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad
    assert model.training and model.layers[0].training
    assert not any(stage._forward_hooks for stage in model.layers)


@pytest.mark.parametrize(
    'clip, stages, message',
    [
        (np.zeros((4, 8, 8, 3)), (0,), r'got \(4, 8, 8, 3\) of torch.float64'),
        (
            np.zeros((8, 8, 3), np.uint8),
            (0,),
            r'must be frames \(T, H, W, 3\)',
        ),
        (np.zeros((4, 8, 8, 3), np.uint8), (4,), 'chosen from 0 to 3'),
        (np.zeros((4, 8, 8, 3), np.uint8), (), 'chosen from 0 to 3'),
        (
            np.zeros((1, 8, 8, 3), np.uint8),
            (0,),
            'shorter than a temporal patch',
        ),
    ],
)
def test_bad_clips(clip, stages, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        extract_features(model, clip, stages)
    assert not any(stage._forward_hooks for stage in model.layers)


def test_networks_for_images_are_refused():
    with pytest.raises(ValueError, match='needs a SwinTransformer3D'):
        extract_features(SwinTransformer(**NARROW), moving_square(0, 4))


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('videos') / 'clip.mp4'
    write_video(path, moving_square(0, 21), 10.0)
    return str(path)


def test_features_of_a_file(path):
    model = make()
    with Video(path) as video:
        features = extract_video(
            model, video, clip_len=4, interval=2, stages=(1, 3), short_side=32
        )
        frames = video.frames(range(0, 21, 2))
    # 11 frames: two clips of 4 frames and one of 3, which is filled to 4.
    assert features['stage1'].shape == (6, 16, 4, 6)  # 32 x 43 pixels
    assert features['stage3'].shape == (6, 64, 1, 2)
    assert features['frames'].tolist() == [1, 5, 9, 13, 17, 20]
    np.testing.assert_allclose(features['times'], features['frames'] / 10)

    with Video(path) as video:
        whole = extract_video(
            model, video, clip_len=4, stages=(3,), short_side=None
        )
        pooled = extract_video(
            model,
            video,
            clip_len=4,
            stages=(3,),
            short_side=None,
            pool=True,
            per_frame=True,
            dtype='float16',
        )
    last = np.stack([*frames[8:], frames[10]])
    (expected,) = extract_features(model, last, (3,)).values()
    np.testing.assert_allclose(whole['stage3'][4:], expected, atol=1e-6)
    assert pooled['stage3'].shape == (11, 64)
    assert pooled['stage3'].dtype == np.float16
    assert pooled['frames'].tolist() == list(range(0, 21, 2))
    np.testing.assert_allclose(
        pooled['stage3'][8], expected.mean((2, 3))[0], atol=2e-3
    )


def test_folders_of_frames_have_no_times(tmp_path):
    from PIL import Image

    for index, frame in enumerate(moving_square(0, 3)):
        Image.fromarray(frame).save(tmp_path / f'{index}.png')
    with Video(str(tmp_path)) as video:
        features = extract_video(make(), video, interval=1, short_side=None)
    assert set(features) == {'stage3', 'frames'}
    assert features['frames'].tolist() == [0.5, 2.0]
