"""HTC++ by the command lines: train, test, predict; errors before training."""

import json

import pytest

from helpers.command_line import REPOSITORY, run
from swin_dense.synthetic.shapes import generate_coco

CONFIG = REPOSITORY / 'configs' / 'htcpp_swin_nano_shapes.py'
SCENE = dict(
    image_size=64,
    radius=(8, 20),
    textures=['clouds', 'sand', 'waves', 'bricks'],
)


@pytest.fixture
def few(tmp_path):
    """Options that train on a few small images, drawn already."""
    root = tmp_path / 'shapes'
    generate_coco(root, {'train2017': 4, 'val2017': 2}, **SCENE)
    options = [f'data_root={root}']
    for part in ('train', 'val', 'test'):
        options += [
            f'{part}_dataloader.{key}'
            for key in (
                'num_workers=0',
                'persistent_workers=False',
                'batch_size=2',
                'dataset.generate=None',
            )
        ]
    return options + [
        'val_dataloader.dataset.pipeline.1.scale=(64,64)',
        'test_dataloader.dataset.pipeline.1.scale=(64,64)',
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2',
        'param_scheduler=None',
    ]


def test_train_test_predict(few, tmp_path):
    options = ['--cfg-options', *few]
    work = ['--work-dir', tmp_path]
    assert run('train', CONFIG, *work, *options) == 0
    weights = tmp_path / 'iter_2.pth'
    out = tmp_path / 'metrics.json'
    assert run('test', CONFIG, weights, *work, '--out', out, *options) == 0
    metrics = json.loads(out.read_text())['metrics']
    assert metrics['coco/segm_mAP'] >= 0
    images = tmp_path / 'shapes' / 'val2017'
    assert (
        run(
            'predict',
            CONFIG,
            weights,
            images,
            '--out',
            tmp_path / 'out',
            *options,
        )
        == 0
    )
    assert len(list((tmp_path / 'out').glob('*.jpg'))) == 2


@pytest.mark.parametrize(
    'option, message',
    [
        (
            'model.roi_head.semantic_head.num_classes=6',
            'num_classes=6, the label maps of the training set '
            'num_stuff_classes=7',
        ),
        ('train_dataloader.dataset.num_stuff_classes=6', 'has the values 6'),
        (
            'train_dataloader.dataset.data_prefix.seg=None',
            'learns from label maps, but the training set loads none',
        ),
        (
            'train_dataloader.dataset.data_prefix.seg=elsewhere/',
            '4 of 4 label maps for the semantic branch',
        ),
        ('model.roi_head.semantic_head=None', None),
    ],
)
def test_maps_and_model_that_do_not_fit(
    few, tmp_path, capsys, option, message
):
    """One option alone; a model that leaves maps unused trains."""
    status = run(
        'train', CONFIG, '--work-dir', tmp_path, '--cfg-options', *few, option
    )
    if message is None:
        assert status == 0
    else:
        assert status == 1
        assert message in capsys.readouterr().err
        assert not list(tmp_path.glob('*.pth'))
