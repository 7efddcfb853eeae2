"""RepPoints V2 by the command lines, with masks and without."""

import json

import pytest
import torch

from helpers.command_line import REPOSITORY, error_of, launch, run
from swin_dense.checkpoints.files.read import read_checkpoint

CONFIG = REPOSITORY / 'tests' / 'helpers' / 'tiny_mask_reppoints.py'
# Sums of float32 in another order, over three steps of a deep network.
TOLERANCE = 1e-4


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """A folder with a training of two iterations and its data."""
    root = tmp_path_factory.mktemp('reppoints')
    assert train(root / 'work', root, '--seed', 0) == 0
    return root


def train(folder, root, *args, options=()):
    return run(
        'train',
        CONFIG,
        '--work-dir',
        folder,
        *args,
        '--cfg-options',
        f'data_root={root}/shapes',
        *options,
    )


def test(workspace, name, *args):
    """Metrics and result files of a test."""
    out = workspace / name
    status = run(
        'test',
        CONFIG,
        workspace / 'work' / 'iter_2.pth',
        '--work-dir',
        workspace / 'test',
        '--out',
        out / 'metrics.json',
        '--results',
        out / 'found',
        *args,
        '--cfg-options',
        f'data_root={workspace}/shapes',
    )
    assert status == 0
    metrics = json.loads((out / 'metrics.json').read_text())['metrics']
    return metrics, [
        json.loads((out / f'found.{kind}.json').read_text())
        for kind in ('bbox', 'segm')
    ]


test.__test__ = False  # a helper


def test_result_files(workspace):
    metrics, (boxes, masks) = test(workspace, 'plain')
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= {*metrics}
    assert len(boxes) == len(masks) > 4
    for box, mask in zip(boxes, masks):
        assert box['score'] == mask['score'] > 0.001
        assert min(box['bbox'][2:]) > 0
        assert mask['segmentation']['size'] == [64, 64]


def test_scales_and_flips(workspace):
    """One view is the plain test; more change it."""
    plain = test(workspace, 'plain')
    ratios = ['--tta', '--tta-ratios']
    first = test(workspace, 'one', *ratios, '1', '--tta-no-flip')
    assert first == plain
    _, (boxes, masks) = test(workspace, 'views', *ratios, '0.5', '1')
    assert len(boxes) == len(masks) > 4
    assert boxes != plain[1][0]


def test_predict(workspace):
    out = workspace / 'out'
    status = run(
        'predict',
        CONFIG,
        workspace / 'work' / 'iter_2.pth',
        workspace / 'shapes' / 'val2017',
        '--out',
        out,
        '--score-thr',
        0.001,
        '--cfg-options',
        f'data_root={workspace}/shapes',
    )
    assert status == 0
    result = json.loads((out / 'predictions.json').read_text())
    assert result and all('segmentation' in entry for entry in result)
    assert len(list(out.glob('*.[jp][pn]g'))) == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason='compares CPU processes')
def test_two_processes_match_one(workspace, tmp_path):
    """Their averaged gradients are those of two images one after another.

    The running statistics of the mask branch are those of the first process.
    """
    options = ['--cfg-options', f'data_root={workspace}/shapes']
    steps = [
        'train_cfg.max_iters=6',
        'default_hooks.checkpoint.interval=6',
        'optim_wrapper.accumulative_counts=2',
    ]
    assert train(tmp_path / 'one', workspace, '--seed', 0, options=steps) == 0
    launch(
        'dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        tmp_path / 'two',
        '--seed',
        0,
        *options,
        'train_cfg.max_iters=3',
        'default_hooks.checkpoint.interval=3',
    )
    first, two = (
        read_checkpoint(tmp_path / name)['state_dict']
        for name in ('one/iter_6.pth', 'two/iter_3.pth')
    )
    for name, value in two.items():
        if 'running' not in name and 'tracked' not in name:
            torch.testing.assert_close(
                value, first[name], rtol=0, atol=TOLERANCE
            )


@pytest.mark.parametrize(
    'option, message',
    [
        ('model.bbox_head.num_classes=2', 'num_classes'),
        ('train_dataloader.dataset.ann_file=absent.json', 'absent.json'),
        ('model.neck.num_outs=1', 'num_outs must be 2 at least'),
    ],
)
def test_bad_settings(workspace, tmp_path, capsys, option, message):
    status = train(tmp_path, workspace, options=[option])
    assert message in error_of(capsys, status)
    assert not list(tmp_path.glob('*.pth'))


def test_a_broken_image_is_named_and_the_others_kept(
    workspace, tmp_path, capsys
):
    images = tmp_path / 'images'
    images.mkdir()
    (images / 'broken.jpg').write_bytes(b'no image')
    source = next((workspace / 'shapes' / 'val2017').iterdir())
    (images / source.name).write_bytes(source.read_bytes())
    status = run(
        'predict',
        CONFIG,
        workspace / 'work' / 'iter_2.pth',
        images,
        '--out',
        tmp_path / 'out',
        '--cfg-options',
        f'data_root={workspace}/shapes',
    )
    assert status == 1
    assert 'broken.jpg' in capsys.readouterr().err
    assert (tmp_path / 'out' / source.name).with_suffix('.jpg').exists() or (
        tmp_path / 'out' / source.name
    ).exists()
