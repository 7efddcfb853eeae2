"""From a detector of 80 classes to one of three, as a user would."""

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from helpers.command_line import CONFIG, run
from swin_dense.checkpoints.files.read import read_checkpoint
from swin_dense.engine.launch import load_config

LAYERS = (
    'roi_head.bbox_head.fc_cls, roi_head.bbox_head.fc_reg, '
    'roi_head.mask_head.conv_logits'
)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """A folder with the file of a detector of 80 classes."""
    root = tmp_path_factory.mktemp('fine_tuning')
    cfg = load_config(
        CONFIG,
        {
            'model.roi_head.bbox_head.num_classes': 80,
            'model.roi_head.mask_head.num_classes': 80,
        },
    )
    torch.manual_seed(3)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    names = [f'thing {i}' for i in range(80)]
    names[7], names[40] = 'triangle', 'circle'
    torch.save(
        dict(
            meta=dict(dataset_meta=dict(classes=names)),
            state_dict=model.state_dict(),
        ),
        root / 'coco.pth',
    )
    return root


def train(root, work, *flags):
    """Two iterations that hardly change anything; the log and the result."""
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            work,
            *flags,
            '--seed',
            0,
            '--cfg-options',
            f'data_root={root}/shapes',
            f'load_from={root}/coco.pth',
            'optim_wrapper.optimizer.lr=1e-9',
        )
        == 0
    )
    log = '\n'.join(path.read_text() for path in work.glob('*/*.log'))
    return log, work / 'iter_2.pth'


def test_layers_for_other_classes_start_afresh(root, tmp_path):
    log, path = train(root, tmp_path / 'work')
    assert f're-initialised: 80 -> 3 classes: {LAYERS}' in log
    reference = read_checkpoint(root / 'coco.pth')['state_dict']
    current = read_checkpoint(path)['state_dict']
    name = 'roi_head.mask_head.convs.0.conv.weight'
    torch.testing.assert_close(
        current[name], reference[name], rtol=0, atol=1e-5
    )
    # What comes of the run has the names of its own classes.
    assert list(read_checkpoint(path)['meta']['dataset_meta']['classes']) == [
        'circle',
        'square',
        'triangle',
    ]

    # A run that was interrupted goes on from its own checkpoint.
    log, _ = train(root, tmp_path / 'work', '--resume')
    assert 'resumed epoch: 0, iter: 2' in log
    assert log.count('re-initialised') == 1


def test_classes_are_copied_by_name(root, tmp_path):
    log, path = train(root, tmp_path / 'work', '--copy-classes')
    assert (
        '80 -> 3 classes: rows of 2 copied (circle, triangle), 1 '
        f're-initialised (square): {LAYERS}'
    ) in log
    reference = read_checkpoint(root / 'coco.pth')['state_dict']
    current = read_checkpoint(path)['state_dict']
    name = 'roi_head.bbox_head.fc_cls.weight'
    torch.testing.assert_close(
        current[name][[0, 2, 3]],
        reference[name][[40, 7, 80]],
        rtol=0,
        atol=1e-5,
    )


def test_evaluation_refuses_other_classes(root, capsys):
    assert (
        run(
            'test',
            CONFIG,
            root / 'coco.pth',
            '--cfg-options',
            f'data_root={root}/shapes',
        )
        == 1
    )
    error = capsys.readouterr().err
    assert 'The checkpoint has 80 classes, the model 3' in error
    assert 'swin-dense train starts from a checkpoint of other' in error
