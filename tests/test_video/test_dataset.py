"""The checked video data set reads, refuses, replaces and counts clips."""

import os

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from helpers.numbered_clips import number_of, write_clip

pytest.importorskip('mmaction', reason='needs mmaction2')
pytest.importorskip('av', reason='clips are written by PyAV')

PIPELINE = [
    dict(type='swin_dense.VideoInit'),
    dict(type='SampleFrames', clip_len=4, frame_interval=2, test_mode=True),
    dict(type='swin_dense.VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]


@pytest.fixture(autouse=True)
def scope():
    """Look for types without a scope in mmaction2."""
    with DefaultScope.overwrite_default_scope('mmaction'):
        yield


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """Return the bytes of a clip of ten frames."""
    path = write_clip(tmp_path_factory.mktemp('clip') / 'clip.mp4', 10)
    with open(path, 'rb') as file:
        return file.read()


@pytest.fixture
def folder(tmp_path, clip):
    """Write two classes with six clips each, and their list."""
    lines = []
    for label, name in enumerate(('jump', 'run')):
        (tmp_path / 'videos' / name).mkdir(parents=True)
        for number in range(6):
            path = f'{name}/{number}.mp4'
            (tmp_path / 'videos' / path).write_bytes(clip)
            lines.append(f'{path} {label}\n')
    (tmp_path / 'list.txt').write_text(''.join(lines))
    return tmp_path


def build(folder, ann_file='list.txt', **kwargs):
    from swin_dense.video.dataset import CheckedVideoDataset

    kwargs.setdefault('metainfo', dict(classes=['jump', 'run']))
    kwargs.setdefault('data_prefix', dict(video='videos'))
    kwargs.setdefault('pipeline', PIPELINE)
    return CheckedVideoDataset(ann_file, data_root=str(folder), **kwargs)


def change(folder, *lines):
    """Append lines to the list."""
    with open(folder / 'list.txt', 'a') as file:
        file.writelines(f'{line}\n' for line in lines)


def test_a_list_is_read(folder, logged):
    dataset = build(folder)
    assert len(dataset) == 12
    assert dataset.metainfo['classes'] == ('jump', 'run')
    assert (
        f'{folder}/list.txt: 12 clips of 2 classes, 6 to 6 of each'
        in logged.text
    )
    sample = dataset[7]
    assert sample['inputs'].shape == (1, 3, 4, 48, 128)
    assert sample['data_samples'].gt_label.tolist() == [1]
    frames = sample['inputs'][0].permute(1, 2, 3, 0).numpy()
    # Every second of seven frames from the middle of ten.
    assert [number_of(frame) for frame in frames] == [1, 3, 5, 7]


def test_folders_of_classes_are_read(folder):
    dataset = build(folder, '', metainfo=None)
    assert dataset.metainfo['classes'] == ('jump', 'run')
    info = dataset.get_data_info(11)
    assert info['filename'] == str(folder / 'videos/run/5.mp4')
    assert info['label'] == 1
    # Frames come in the requested order.
    dataset = build(folder, '', metainfo=dict(classes=['run', 'sit', 'jump']))
    assert [dataset.get_data_info(i)['label'] for i in (0, 11)] == [2, 0]


def test_folders_of_frames_are_read(folder):
    import cv2

    for name in ('a', 'b'):
        (folder / 'frames' / name).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(
                str(folder / 'frames' / name / f'img_{number:05}.jpg'),
                np.full((8, 8, 3), 40 * number, np.uint8),
            )
    (folder / 'frames.txt').write_text('a 3 0\nb 3 1\n')
    dataset = build(folder, 'frames.txt', data_prefix=dict(video='frames'))
    inputs = dataset[1]['inputs']
    assert inputs[0, 0, :, 0, 0].tolist() == [0, 80, 40, 0]  # from its start


def test_names_from_a_file_and_numbers_for_names(folder):
    names = folder / 'names.txt'
    names.write_text('jump\nrun\n')
    dataset = build(folder, metainfo=dict(classes=str(names)))
    assert dataset.metainfo['classes'] == ('jump', 'run')
    dataset = build(folder, metainfo=None, num_classes=3)
    assert dataset.metainfo['classes'] == ('0', '1', '2')
    with pytest.raises(FileNotFoundError, match='no.txt.* does not exist'):
        build(folder, metainfo=dict(classes='no.txt'))
    with pytest.raises(
        ValueError,
        match='has class numbers without names: name the classes in '
        'label order .* or set num_classes=N',
    ):
        build(folder, metainfo=None)
    with pytest.raises(ValueError, match='num_classes=3, but there are 2'):
        build(folder, num_classes=3)
    with pytest.raises(ValueError, match='name run more than once'):
        build(folder, metainfo=dict(classes=['run', 'run']))


def test_the_message_of_absent_data_has_the_tree(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        build(tmp_path, 'train.txt')
    message = str(caught.value)
    assert f'{tmp_path}/train.txt does not exist' in message
    assert f'{tmp_path}/videos/*.mp4' in message
    assert (
        'start with generated clips:\n  swin-dense train '
        'video_swin_nano_shapes' in message
    )
    with pytest.raises(FileNotFoundError, match='videos/CLASS/..mp4'):
        build(tmp_path, '')


def test_lists_that_cannot_be_used(folder):
    change(folder, 'jump/9.mp4 2', 'jump/8.mp4 hop', 'run/5.mp4 0')
    with pytest.raises(ValueError) as caught:
        build(folder)
    assert str(caught.value).splitlines() == [
        f'{folder}/list.txt cannot be used as it is',
        "  line 14: 'hop' is not among the 2 classes",
        '  line 13: label 2, num_classes=2 (valid labels 0..1)',
        f'  {folder}/videos/run/5.mp4 is listed more than once, with '
        'different labels: line 12, line 15',
    ]
    (folder / 'list.txt').write_text('\n')
    with pytest.raises(ValueError, match='list.txt lists no clips'):
        build(folder)
    (folder / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty has no folders of clips'):
        build(folder, '', data_prefix=dict(video='empty'))
    with pytest.raises(ValueError, match='one class per clip'):
        build(folder, multi_class=True, num_classes=2)
    with pytest.raises(ValueError, match='max_bad=2 must be a share'):
        build(folder, max_bad=2)


def test_classes_without_clips_are_named(folder, logged):
    build(folder, metainfo=dict(classes=['jump', 'run', 'sit', 'lie']))
    assert '6 to 6 of each; none of sit, lie' in logged.text


def test_clips_of_one_class_alone(folder):
    (folder / 'one.txt').write_text('run/0.mp4 1\nrun/1.mp4 1\n')
    with pytest.raises(
        ValueError, match="all 2 clips are of class 'run', of 2 classes"
    ):
        build(folder, 'one.txt')
    assert len(build(folder, 'one.txt', test_mode=True)) == 2


def test_clips_listed_by_another_system(folder):
    (folder / 'list.txt').write_text('D:\\me\\0.mp4 0\nD:\\me\\x.mp4 1\n')
    with pytest.raises(
        FileNotFoundError,
        match='2 names are absolute paths.*By name alone, without '
        'folders, 1 of 2 are in or below .*videos',
    ):
        build(folder)


def test_absent_clips(folder, logged):
    (folder / 'videos/run/3.mp4').unlink()
    for test_mode in (False, True):
        with pytest.raises(FileNotFoundError) as caught:
            build(folder, test_mode=test_mode)
        message = str(caught.value)
        assert '1 of 12 clips (8.33%) are absent or unreadable' in message
        assert f'line 10: {folder}/videos/run/3.mp4 does not exist' in message
        assert 'swin-dense check-videos' in message
    dataset = build(folder, max_bad=0.1)
    assert len(dataset) == 11 and 'They are left out' in logged.text
    names = [dataset.get_data_info(i)['filename'] for i in range(11)]
    assert not any('run/3' in name for name in names)


def test_no_clip_is_left(folder):
    for path in (folder / 'videos').rglob('*.mp4'):
        path.unlink()
    with pytest.raises(FileNotFoundError, match='12 of 12 clips'):
        build(folder, max_bad=1.0)


def break_clip(folder, name):
    path = folder / 'videos' / name
    path.write_bytes(path.read_bytes()[:900])
    return str(path)


def test_a_bad_clip_is_replaced_and_counted(folder, logged):
    path = break_clip(folder, 'jump/2.mp4')
    dataset = build(folder, max_bad=0.1)
    labels = [dataset[2]['data_samples'].gt_label.item() for _ in range(20)]
    assert {*labels} == {0, 1}
    assert logged.text.count(f'{path} cannot be read') == 1
    assert 'replaced by another clip; 1 of 12 so far' in logged.text


def test_too_many_bad_clips_end_the_training(folder):
    paths = [break_clip(folder, f'jump/{i}.mp4') for i in (1, 2)]
    dataset = build(folder, max_bad=0.1)
    for _ in range(2):
        assert dataset.prepare_data(1) is None
    with pytest.raises(ValueError) as caught:
        dataset[2]
    message = str(caught.value)
    assert (
        '2 of 12 clips cannot be read, above the share of max_bad=0.1'
        in message
    )
    for path in paths:
        assert f'\n  {path}\n' in message
    # One in twelve is more than 1 %.
    with pytest.raises(ValueError, match='1 of 12 clips .* max_bad=0.01'):
        build(folder)[1]


def test_bad_clips_are_counted_over_all_workers(folder):
    for name in ('jump/0.mp4', 'run/0.mp4'):
        break_clip(folder, name)
    dataset = build(folder, max_bad=0.17)
    loader = DataLoader(dataset, 3, num_workers=2, collate_fn=list)
    # Two processes load clips 0 and 6.
    assert sum(len(batch) for batch in loader) == 12
    assert dataset.bad_clips == [
        str(folder / 'videos' / name) for name in ('jump/0.mp4', 'run/0.mp4')
    ]
    break_clip(folder, 'run/5.mp4')
    with pytest.raises(ValueError, match='3 of 12 clips cannot be read'):
        list(loader)


def test_each_process_of_many_holds_its_part_to_the_limit(folder, monkeypatch):
    from swin_dense.video import dataset as videos

    monkeypatch.setattr(videos, 'get_dist_info', lambda: (1, 4))
    break_clip(folder, 'jump/0.mp4')
    # A process has three clips: one of three is above 0.2, one of six is not.
    dataset = build(folder, max_bad=0.2)
    with pytest.raises(ValueError, match='1 of 3 clips'):
        dataset[0]
    dataset = build(folder, max_bad=0.2)
    for index in range(6, 11):
        dataset[index]
    assert dataset[0]


def test_a_bad_clip_ends_a_test(folder):
    path = break_clip(folder, 'jump/2.mp4')
    dataset = build(folder, test_mode=True)
    assert dataset[1]
    with pytest.raises(
        ValueError,
        match=f'{path} cannot be read[\\s\\S]*A test scores every clip',
    ):
        dataset[2]


def test_bad_clips_that_are_allowed_are_left_out_of_a_test(folder, logged):
    path = break_clip(folder, 'jump/2.mp4')
    dataset = build(folder, test_mode=True, max_bad=0.1)
    assert len(dataset) == 11
    assert f'line 3: {path} {path} cannot be read' not in logged.text
    assert f'line 3: {path} cannot be read' in logged.text
    assert '1 of 12 clips (8.33%) are absent or unreadable' in logged.text
    break_clip(folder, 'jump/3.mp4')
    with pytest.raises(FileNotFoundError, match='2 of 12 clips'):
        build(folder, test_mode=True, max_bad=0.1)


def test_short_clips_are_looped_and_that_is_logged_once(folder, logged):
    sample = dict(type='SampleFrames', clip_len=6, frame_interval=3)
    steps = [PIPELINE[0], sample, *PIPELINE[2:]]
    dataset = build(folder, pipeline=steps)
    for index in (0, 1):
        frames = dataset[index]['inputs'][0].permute(1, 2, 3, 0).numpy()
        assert [number_of(frame) for frame in frames] == [0, 3, 6, 9, 2, 5]
    message = 'jump/0.mp4 has 10 frames, and 6 frames in steps of 3 span 16'
    assert logged.text.count('clips are repeated from their start') == 1
    assert message in logged.text


def test_lists_of_decoders_are_passed_on(folder):
    init = dict(type='swin_dense.VideoInit', decoders=['opencv'])
    dataset = build(folder, pipeline=[init])
    video = dataset[0]['video_reader']
    assert video.decoder == 'opencv'
    with pytest.raises(ValueError, match='choose from'):
        build(folder, pipeline=[dict(init, decoders=['cv2'])])


def test_the_type_is_found_by_its_name(folder):
    from mmengine.registry import DATASETS

    dataset = DATASETS.build(
        dict(
            type='swin_dense.CheckedVideoDataset',
            data_root=str(folder),
            data_prefix=dict(video='videos'),
        )
    )
    assert len(dataset) == 12 and os.path.isfile(
        dataset.get_data_info(0)['filename']
    )
