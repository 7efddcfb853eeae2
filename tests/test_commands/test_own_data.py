"""The commands of docs/own_data.md, on data that are drawn here."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.command_line import error_of, run
from swin_dense.data.video_writer import write_video

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'own_data.md'
# Small models become smaller, and their images.
DETECTOR = [
    'train_dataloader.dataset.pipeline.2.scale=(96,64)',
    'val_dataloader.dataset.pipeline.1.scale=(96,64)',
    'model.train_cfg.rpn_proposal.max_per_img=20',
    'model.test_cfg.rpn.max_per_img=20',
]
LOADERS = [
    f'{split}_dataloader.{setting}'
    for split in ('train', 'val')
    for setting in ('num_workers=0', 'persistent_workers=False')
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scene(number):
    """Return an image (64, 96, 3) with a disk, and its box."""
    image = np.full((64, 96, 3), 60, np.uint8)
    x, y, radius = 20 + 7 * number, 30, 12
    cv2.circle(image, (x, y), radius, (0, 0, 220), -1)
    return image, (x - radius, y - radius, 2 * radius, 2 * radius)


def write_yolo(root):
    for split, numbers in (('train', range(4)), ('val', range(4, 6))):
        for number in numbers:
            image, (x, y, w, h) = scene(number)
            path = root / 'images' / split / f'{number}.jpg'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
            corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
            numbers_ = ' '.join(f'{a / 96} {b / 64}' for a, b in corners)
            labels = root / 'labels' / split / f'{number}.txt'
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(f'0 {numbers_}\n')
    (root / 'data.yaml').write_text(
        'train: images/train\nval: images/val\nnames: [disk]\n'
    )


def on_page(*commands):
    """Check that commands, without paths and numbers, are on the page."""
    page = PAGE.read_text('utf-8')
    for command in commands:
        assert command in page, command


def test_from_yolo_to_predictions(place, capsys):
    on_page(
        'swin-dense convert-data data/yolo/data.yaml --out data/coco',
        'swin-dense train mask_rcnn_swin_nano --data train.json',
        'swin-dense browse work_dirs/mask_rcnn_swin_t/mask_rcnn_swin_t.py',
    )
    write_yolo(Path('data/yolo'))
    assert (
        run('convert_data', 'data/yolo/data.yaml', '--out', 'data/coco') == 0
    )
    out = capsys.readouterr().out
    command = re.search(r'to train: swin-dense train (.*)', out)[1].split()
    assert command[0] == 'mask_rcnn_swin_t'
    command = ['mask_rcnn_swin_nano', *command[1:]]
    assert run('train', *command, '--epochs', 2, '--write-config') == 0
    config = 'work_dirs/mask_rcnn_swin_nano/mask_rcnn_swin_nano.py'
    assert f'config: {config}' in capsys.readouterr().out

    assert run('check', config) == 0
    for split, count in (('train', 4), ('val', 2)):
        assert run('browse', config, '--out', split, '--split', split) == 0
        pictures = sorted(Path(split).glob('*.png'))
        assert len(pictures) == count
    # The validation is drawn at the size of the file, where its labels are.
    picture = cv2.imread(str(pictures[0]))
    assert picture.shape == (64, 96, 3)
    assert (picture != scene(4)[0]).any(axis=2).mean() > 0.05

    text = Path(config).read_text()
    options = ['--cfg-options', *DETECTOR, *LOADERS]
    assert run('train', config, *options) == 0
    assert Path(config).read_text() == text
    folder = Path(config).parent
    assert (folder / 'curves.png').is_file()
    rows = (folder / 'results.csv').read_text().splitlines()
    assert [row.split(',')[0] for row in rows[1:]] == ['1', '2']
    assert 'coco/segm_mAP' in rows[0]
    capsys.readouterr()

    checkpoint = folder / 'iter_2.pth'
    image = 'data/yolo/images/val/4.jpg'
    assert run('predict', config, checkpoint, image, '--out', 'out') == 0
    assert Path('out/predictions.json').is_file()
    # A training that is at its end says so.
    assert run('train', config, '--resume', *options) == 0
    assert 'is the end of this training, 2 of 2' in capsys.readouterr().out


def test_label_maps(place):
    on_page('`swin-dense train upernet_swin_nano --data data/mine`')
    for split, numbers in (('train', range(3)), ('val', range(3, 5))):
        for number in numbers:
            image, (x, y, w, h) = scene(number)
            labels = np.zeros((64, 96), np.uint8)
            labels[y : y + h, x : x + w] = 1
            for kind, pixels in (('images', image), ('labels', labels)):
                path = Path('data/mine', kind, split, f'{number}.png')
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), pixels)
    Path('data/mine/classes.txt').write_text('ground\ndisk\n')
    small = [
        'train_dataloader.dataset.pipeline.2.scale=(96,64)',
        'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
        'model.data_preprocessor.size=(64,64)',
        'val_dataloader.dataset.pipeline.1.scale=(96,64)',
    ]
    status = run(
        'train',
        'upernet_swin_nano',
        '--data',
        'data/mine',
        '--epochs',
        1,
        '--batch-size',
        2,
        '--cfg-options',
        *small,
        *LOADERS,
    )
    assert status == 0
    folder = Path('work_dirs/upernet_swin_nano')
    assert (folder / 'iter_2.pth').is_file()
    assert 'mIoU' in (folder / 'results.csv').read_text()
    config = folder / 'upernet_swin_nano.py'
    assert run('browse', config, '--out', 'samples', '--count', 2) == 0
    picture = cv2.imread(str(sorted(Path('samples').glob('*.png'))[0]))
    # The crop, and a legend below it.
    assert picture.shape[0] > 256 and picture.shape[1] >= 256


def test_clips(place):
    on_page('`swin-dense train video_swin_nano --data clips`')
    for label, step in (('left', -1), ('right', 1)):
        for number in range(3):
            frames = [
                np.ascontiguousarray(
                    scene(4 + step * (frame // 3))[0][..., ::-1]
                )
                for frame in range(12)
            ]
            path = Path('clips', label, f'{number}.mp4')
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, frames, 10)
    small = [
        'train_dataloader.dataset.pipeline.3.scale=(-1,32)',
        'train_dataloader.dataset.pipeline.5.scale=(32,32)',
        'val_dataloader.dataset.pipeline.3.scale=(-1,32)',
        'val_dataloader.dataset.pipeline.4.crop_size=32',
    ]
    status = run(
        'train',
        'video_swin_nano',
        '--data',
        'clips',
        '--epochs',
        1,
        '--cfg-options',
        *small,
        *LOADERS,
    )
    assert status == 0
    folder = Path('work_dirs/video_swin_nano')
    assert 'acc/top1' in (folder / 'results.csv').read_text()
    config = folder / 'video_swin_nano.py'
    assert run('browse', config, '--out', 'samples', '--count', 2) == 0
    picture = cv2.imread(str(sorted(Path('samples').glob('*.png'))[0]))
    assert picture.shape[1] == 8 * (96 + 4) - 4


def test_a_failed_start_leaves_nothing(place, capsys):
    write_yolo(Path('yolo'))
    assert run('convert_data', 'yolo', '--out', '.') == 0
    data = json.loads(Path('train.json').read_text())
    data['annotations'][0]['bbox'] = [0, 0, 1e6, 1e6]
    Path('train.json').write_text(json.dumps(data))
    before = sorted(Path().rglob('*'))
    status = run('train', 'mask_rcnn_swin_nano', '--data', 'train.json')
    assert 'boxes that reach far beyond' in error_of(capsys, status)
    assert sorted(Path().rglob('*')) == before
    for option in (('--epochs', 2), ('--val', 'val.json'), ('--no-masks',)):
        status = run('train', 'mask_rcnn_swin_nano', *option)
        assert f'{option[0]} belongs to --data' in error_of(capsys, status)
    status = run(
        'train', 'upernet_swin_nano', '--data', 'yolo', '--batch-size', 0
    )
    assert '--batch-size 0 must be at least 1' in error_of(capsys, status)
