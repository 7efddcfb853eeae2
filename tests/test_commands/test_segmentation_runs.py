"""Train, test and test augmented a segmentation recipe, as a user would."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.ade import write_ade
from helpers.command_line import launch, run
from swin_dense.checkpoints.files.read import read_checkpoint

pytest.importorskip('mmseg', reason='the recipes are of mmseg models')

CONFIG = str(Path(__file__).parents[1] / 'helpers' / 'tiny_upernet.py')


@pytest.fixture(scope='module')
def workspace(tmp_path_factory) -> Path:
    """A folder with a training of two iterations and its data."""
    root = tmp_path_factory.mktemp('workspace')
    write_ade(root / 'ade')
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            root / 'work',
            '--seed',
            0,
            '--cfg-options',
            f'data_root={root}/ade',
        )
        == 0
    )
    return root


def metrics_of(workspace, name, *args, options=()):
    """Return the report of swin-dense test with some options."""
    out = workspace / f'{name}.json'
    assert (
        run(
            'test',
            CONFIG,
            workspace / 'work' / 'iter_2.pth',
            '--work-dir',
            workspace / 'test',
            '--out',
            out,
            *args,
            '--cfg-options',
            f'data_root={workspace}/ade',
            *options,
        )
        == 0
    )
    return json.loads(out.read_text())['metrics']


def log_of(work_dir: Path) -> str:
    return '\n'.join(
        file.read_text() for file in sorted(work_dir.glob('*/*.log'))
    )


def test_training(workspace):
    stored = read_checkpoint(workspace / 'work' / 'iter_2.pth')
    assert stored['meta']['dataset_meta']['classes'][149] == 'flag'
    assert stored['state_dict']['decode_head.conv_seg.weight'].shape[0] == 150
    assert stored['optimizer']['param_groups'][0]['weight_decay'] == 0.01
    log = log_of(workspace / 'work')
    assert 'aux.loss_ce' in log and 'decode.acc_seg' in log
    assert 'Iter(val) [2/2]' in log and 'mIoU' in log


@pytest.fixture(scope='module')
def plain(workspace):
    return metrics_of(workspace, 'plain')


def test_one_scale_unflipped_is_plain_testing(workspace, plain):
    assert {'aAcc', 'mIoU', 'mAcc'} <= set(plain)
    assert (
        metrics_of(
            workspace, 'one', '--tta', '--tta-no-flip', '--tta-ratios', 1
        )
        == plain
    )


def test_scales_and_flips(workspace, monkeypatch):
    """All are predicted; the weights are those of the file."""
    from mmseg.models import EncoderDecoder

    seen = []
    predict = EncoderDecoder.predict

    def count(self, inputs, data_samples=None):
        seen.append((tuple(inputs.shape[2:]), data_samples[0].flip))
        return predict(self, inputs, data_samples)

    monkeypatch.setattr(EncoderDecoder, 'predict', count)
    assert 'mIoU' in metrics_of(workspace, 'tta', '--tta')
    # The first image is 40 x 56 and tested at a short side of 32.
    sides = [16, 24, 32, 40, 48, 56]
    assert [(shape[0], flip) for shape, flip in seen[:12]] == [
        (side, flip) for side in sides for flip in (False, True)
    ]
    assert seen[0][0] == (16, 22) and seen[10][0] == (56, 78)
    assert 'tensors loaded' in log_of(workspace / 'test')


def test_sliding_windows(workspace, plain, monkeypatch):
    """By options alone; a crop as large as the image is the whole image."""
    from mmseg.models import EncoderDecoder

    seen = []
    forward = EncoderDecoder.encode_decode

    def count(self, inputs, metas):
        seen.append(tuple(inputs.shape[2:]))
        return forward(self, inputs, metas)

    monkeypatch.setattr(EncoderDecoder, 'encode_decode', count)

    def slide(name, crop, stride, *args):
        seen.clear()
        return metrics_of(
            workspace,
            name,
            *args,
            options=[
                'model.test_cfg.mode=slide',
                f'model.test_cfg.crop_size=({crop},{crop})',
                f'model.test_cfg.stride=({stride},{stride})',
            ],
        )

    assert slide('large', 64, 32) == plain
    assert len(seen) == 2
    slide('small', 32, 16, '--tta', '--tta-ratios', 1)
    # 32 x 45 and 32 x 41, two windows each, and the same mirrored.
    assert seen == [(32, 32)] * 8


def test_other_number_of_classes(workspace, capsys):
    """The error names the places to correct, and the segmentor is none."""
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            workspace / 'bad',
            '--cfg-options',
            f'data_root={workspace}/ade',
            'model.decode_head.num_classes=149',
        )
        == 1
    )
    error = capsys.readouterr().err
    assert 'has 150 classes' in error
    assert 'model.decode_head (UPerHead): num_classes=149' in error
    assert 'EncoderDecoder' not in error and 'Traceback' not in error


@pytest.mark.parametrize(
    'options, message',
    [
        (['--tta-ratios', '0', '1'], 'must be positive'),
        (
            [
                '--cfg-options',
                'test_dataloader.dataset.pipeline.1.type=RandomResize',
            ],
            'of one Resize step',
        ),
    ],
)
def test_augmentations_that_cannot_be(workspace, capsys, options, message):
    assert (
        run(
            'test',
            CONFIG,
            workspace / 'work' / 'iter_2.pth',
            '--work-dir',
            workspace / 'test',
            '--tta',
            *options,
        )
        == 1
    )
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='of CPU processes')
def test_two_processes(workspace):
    """SyncBN exists on GPUs alone; a CPU process has its own BN."""
    done = launch(
        'dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        workspace / 'two',
        '--cfg-options',
        f'data_root={workspace}/ade',
    )
    assert 'validation after 2 iterations' in done
    assert (workspace / 'two' / 'iter_2.pth').is_file()


def test_confusions(workspace, tmp_path, capsys):
    arguments = (CONFIG, workspace / 'work' / 'iter_2.pth', '--out', tmp_path)
    options = ('--cfg-options', f'data_root={workspace}/ade')
    assert run('analyze', *arguments, *options) == 0
    content = json.loads((tmp_path / 'errors.json').read_text())
    counts = np.array(content['confusion'])
    assert counts.shape == (150, 150) and counts.sum() > 1000
    wall = content['classes']['wall']
    hits = counts[0, 0]
    union = counts[0].sum() + counts[:, 0].sum() - hits
    assert wall['IoU'] == pytest.approx(100 * hits / union)
    assert cv2.imread(str(tmp_path / 'confusion.png')).shape[0] > 400
    assert ' is taken for ' in capsys.readouterr().out
