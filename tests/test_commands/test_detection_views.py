"""Test a detector at several scales, and write what COCO's server takes."""

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from helpers.command_line import CONFIG, run


@pytest.fixture(scope='module')
def workspace(tmp_path_factory) -> Path:
    """A folder with a training of two iterations and its data."""
    root = tmp_path_factory.mktemp('workspace')
    assert (
        run(
            'train',
            CONFIG,
            '--work-dir',
            root / 'work',
            '--seed',
            0,
            '--cfg-options',
            f'data_root={root}/shapes',
        )
        == 0
    )
    return root


def status(workspace, *args, options=()):
    """The exit status of swin-dense test with some options."""
    return run(
        'test',
        CONFIG,
        workspace / 'work' / 'iter_2.pth',
        '--work-dir',
        workspace / 'test',
        *args,
        '--cfg-options',
        f'data_root={workspace}/shapes',
        *options,
    )


def results_of(workspace, name, *args):
    """Metrics and detections of a test."""
    out = workspace / name
    assert (
        status(
            workspace,
            '--out',
            out / 'metrics.json',
            '--results',
            out / 'found',
            *args,
        )
        == 0
    )
    return [
        json.loads((out / file).read_text())
        for file in ('metrics.json', 'found.bbox.json', 'found.segm.json')
    ]


@pytest.fixture(scope='module')
def plain(workspace):
    return results_of(workspace, 'plain')


def test_one_scale_unflipped_is_plain_testing(workspace, plain):
    metrics, boxes, masks = results_of(
        workspace, 'one', '--tta', '--tta-no-flip', '--tta-ratios', 1
    )
    assert metrics['metrics'] == plain[0]['metrics']
    assert len(boxes) == len(masks) > 0
    for result, expected in zip(boxes, plain[1]):
        for key in ('image_id', 'category_id'):
            assert result[key] == expected[key]
        assert result['score'] == pytest.approx(expected['score'], abs=1e-5)
        assert result['bbox'] == pytest.approx(expected['bbox'], abs=1e-4)
    assert (
        masks == plain[2]
        or sum(a != b for a, b in zip(masks, plain[2])) <= len(masks) // 20
    )


def test_scales_and_flips(workspace, plain, monkeypatch):
    from mmdet.models.detectors import MaskRCNN

    seen = []
    look = MaskRCNN.extract_feat

    def count(self, inputs):
        seen.append(tuple(inputs.shape[2:]))
        return look(self, inputs)

    monkeypatch.setattr(MaskRCNN, 'extract_feat', count)
    _, boxes, _ = results_of(
        workspace, 'tta', '--tta', '--tta-scales', '128x128', '256x256'
    )
    assert boxes != plain[1]
    # Both scales, each mirrored; backwards again for the masks.
    small, large = (128, 128), (256, 256)
    assert seen[:7] == [small, small, large, large, large, small, small]


def test_test_dev(workspace, plain):
    """Images without annotations, whose ids and categories are odd numbers.

    What is written can be loaded beside them by pycocotools.
    """
    val = json.loads(
        (
            workspace / 'shapes' / 'annotations' / 'instances_val2017.json'
        ).read_text()
    )
    info = {key: val[key] for key in ('images', 'categories')}
    for category in info['categories']:
        category['id'] = 7 * category['id'] + 100
    for image in info['images']:
        image['id'] += 580_000
    file = workspace / 'shapes' / 'annotations' / 'image_info_test-dev.json'
    file.write_text(json.dumps(info))
    prefix = workspace / 'test-dev' / 'found'
    assert (
        status(
            workspace,
            '--tta',
            '--format-only',
            '--results',
            prefix,
            options=[
                f'test_dataloader.dataset.ann_file={file}',
                'test_dataloader.dataset.generate=None',
            ],
        )
        == 0
    )
    images = COCO(file)
    boxes, masks = (
        json.loads(Path(f'{prefix}.{kind}.json').read_text())
        for kind in ('bbox', 'segm')
    )
    assert len(boxes) == len(masks) > 0
    names = {'image_id', 'category_id', 'score'}
    for box, mask in zip(boxes, masks):
        assert set(box) == names | {'bbox'}
        assert set(mask) == names | {'segmentation'}
        for entry in (box, mask):
            assert entry['image_id'] in images.imgs
            assert entry['category_id'] in images.cats
            assert 0 < entry['score'] <= 1
        assert min(box['bbox']) >= 0 and len(box['bbox']) == 4
        assert isinstance(mask['segmentation']['counts'], str)
    loaded = images.loadRes(f'{prefix}.segm.json')
    for ann in loaded.loadAnns(loaded.getAnnIds())[:5]:
        image = images.imgs[ann['image_id']]
        assert loaded.annToMask(ann).shape == (image['height'], image['width'])
        assert ann['area'] == loaded.annToMask(ann).sum()
    loaded = images.loadRes(f'{prefix}.bbox.json')
    assert len(loaded.anns) == len(boxes)


@pytest.mark.parametrize(
    'args, message',
    [
        (['--format-only'], 'add --results PREFIX'),
        (['--tta-ratios', '0.5'], 'add --tta'),
        (['--tta-no-flip'], 'add --tta'),
        (['--tta', '--tta-scales', '0x8'], 'pairs of positive numbers'),
    ],
)
def test_bad_options(workspace, capsys, args, message):
    assert status(workspace, *args) == 1
    assert message in capsys.readouterr().err


def test_results_of_another_metric(workspace, capsys):
    assert (
        status(
            workspace,
            '--results',
            workspace / 'x',
            options=['test_evaluator.type=VOCMetric'],
        )
        == 1
    )
    assert 'is not a CocoMetric' in capsys.readouterr().err


def test_host_that_does_not_support_it(workspace, capsys):
    assert (
        status(
            workspace,
            '--tta',
            options=[
                'model.roi_head.type=PointRendRoIHead',
                'model.roi_head.point_head.type=MaskPointHead',
                'model.roi_head.point_head.num_classes=3',
            ],
        )
        == 1
    )
    error = capsys.readouterr().err
    assert 'PointRendRoIHead predicts: its predict_mask differs' in error
    assert 'Test without --tta' in error
