"""projects/soft_teacher: a training from start to end, and its tools."""

import csv
import importlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from helpers.coco import tiny_data
from swin_dense.checkpoints import read_checkpoint
from swin_dense.commands import train as command
from swin_dense.engine.compare_trainings import final_metrics
from swin_dense.engine.launch import load_config
from swin_dense.registry import DATASETS, MODELS

PROJECT = Path(__file__).resolve().parents[2] / 'projects' / 'soft_teacher'
CONFIGS = PROJECT / 'configs'
NANO = CONFIGS / 'mask_rcnn_nano_shapes.py'
TINY = dict(embed_dims=8, depths=[1, 1, 1], num_heads=[1, 1, 2], window_size=4)


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    return importlib.import_module


def options(root):
    """Return settings that train a tiny model on small images, twice."""
    images = dict(num_images=6, image_size=64)
    shapes = dict(data_root=f'{root}/data/', generate=images)
    backbone = {f'backbone.{key}': value for key, value in TINY.items()}
    values = {
        **{f'model.detector.{key}': v for key, v in backbone.items()},
        'model.detector.neck.in_channels': [8, 16, 32],
        'model.semi_train_cfg.pseudo_label_initial_score_thr': 0.01,
        'model.semi_train_cfg.cls_pseudo_thr': 0.3,
        'model.semi_train_cfg.rpn_pseudo_thr': 0.3,
        'model.semi_train_cfg.reg_pseudo_thr': 0.5,
        'model.semi_train_cfg.burn_in': 1,
        'custom_hooks.1.momentum': 0.999,
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 4,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'custom_hooks.2.interval': 2,
        'custom_hooks.2.judged': 3,
        'custom_hooks.2.images': 2,
        'train_dataloader.dataset.labelled.indices': 2,
        'train_dataloader.dataset.unlabelled.indices': [2, 3, 4, 5],
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'randomness.seed': 0,
    }
    for place in (
        'train_dataloader.dataset.labelled',
        'train_dataloader.dataset.unlabelled',
        'val_dataloader.dataset',
        'test_dataloader.dataset',
    ):
        values[f'{place}.data_root'] = shapes['data_root']
        for key, value in images.items():
            values[f'{place}.generate.{key}'] = value
    file = f'{root}/data/annotations/instances_val2017.json'
    values['val_evaluator.ann_file'] = file
    values['test_evaluator.ann_file'] = file
    return [f'{key}={value}' for key, value in values.items()]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A finished training of four iterations; its folder."""
    root = tmp_path_factory.mktemp('soft_teacher')
    arguments = [str(NANO), '--work-dir', str(root / 'run'), '--cfg-options']
    assert command.main([*arguments, *options(root)]) == 0
    return root / 'run'


def test_teacher_and_student_are_evaluated(run):
    with (run / 'results.csv').open() as file:
        names = next(csv.reader(file))
    for net in ('teacher', 'student'):
        assert any(net in name and 'segm_mAP' in name for name in names), names


def test_the_teacher_is_the_mean_of_the_students(run):
    """After 4 iterations it has seen the students before each of them."""
    weights = read_checkpoint(str(run / 'iter_4.pth'))['state_dict']
    names = [name for name in weights if name.startswith('student.')]
    assert len(names) == len(weights) / 2
    name = 'student.roi_head.bbox_head.fc_cls.weight'
    teacher = weights[name.replace('student', 'teacher')]
    step = (weights[name] - teacher).abs().max()
    assert 0 < step < 1e-2


def test_pictures_and_counts_of_pseudo_boxes(run):
    with (run / 'pseudo_boxes.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['iteration'] for row in rows] == ['2', '2', '4', '4']
    assert {row['score above'] for row in rows} == {'0.5', '0.9'}
    picture = cv2.imread(str(run / 'pseudo_boxes.png'))
    # Two images; the truth and two times beside each other.
    assert picture.shape[0] > 400
    assert picture.shape[1] > 600


def test_a_resumed_training_has_the_same_weights(run):
    """Both nets and the order of the two data sets go on where they were."""
    root = run.parent
    again = root / 'resumed'
    arguments = [str(NANO), '--work-dir', str(again)]
    stop = [
        *options(root),
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
    ]
    whole = options(root)
    assert command.main([*arguments, '--cfg-options', *stop]) == 0
    half = again / 'iter_2.pth'
    assert (
        command.main(
            [*arguments, '--resume', str(half), '--cfg-options', *whole]
        )
        == 0
    )
    expected = read_checkpoint(str(run / 'iter_4.pth'))['state_dict']
    found = read_checkpoint(str(again / 'iter_4.pth'))['state_dict']
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize('net', ['student', 'teacher'])
def test_a_net_becomes_a_plain_detector(net, run, tool, tmp_path, capsys):
    out = tmp_path / 'detector.pth'
    extract = tool('extract_detector')
    assert extract.main([str(run / 'iter_4.pth'), str(out), '--net', net]) == 0
    assert f'tensors of the {net}' in capsys.readouterr().out
    source = read_checkpoint(str(run / 'iter_4.pth'))['state_dict']
    weights = read_checkpoint(str(out))['state_dict']
    assert len(weights) == len(source) / 2
    for name, value in weights.items():
        assert torch.equal(value, source[f'{net}.{name}'])
    cfg = load_config(str(CONFIGS / 'mask_rcnn_nano_shapes_labelled.py'))
    cfg.model.backbone.update(TINY)
    cfg.model.neck.in_channels = [8, 16, 32]
    MODELS.build(cfg.model).load_state_dict(weights)


def test_a_checkpoint_of_another_training(tool, tmp_path, capsys):
    path = tmp_path / 'other.pth'
    torch.save(dict(state_dict={'backbone.weight': torch.zeros(1)}), path)
    extract = tool('extract_detector')
    assert extract.main([str(path), str(tmp_path / 'out.pth')]) == 1
    assert 'no weights that begin with student.' in capsys.readouterr().err


def test_split(tool, tmp_path, capsys):
    data = tiny_data()
    data['images'] = [
        dict(data['images'][0], id=i, file_name=f'{i}.jpg') for i in range(40)
    ]
    for annotation in data['annotations']:
        annotation['image_id'] = annotation['id'] % 40
    path = tmp_path / 'instances_train2017.json'
    path.write_text(json.dumps(data))
    split = tool('split_coco')
    arguments = ['--percent', '5', '50', '--folds', '1', '2']
    assert split.main([str(path), *arguments]) == 0
    drawn = []
    for fold in (1, 2):
        for percent, count in ((5, 2), (50, 20)):
            stem = f'{path.stem}.{fold}@{percent}'
            labelled, others = (
                json.loads((tmp_path / f'{stem}{end}.json').read_text())
                for end in ('', '-unlabelled')
            )
            assert f'{stem}.json: {count} images' in capsys_text(capsys)
            ids = {image['id'] for image in labelled['images']}
            rest = {image['id'] for image in others['images']}
            assert len(ids) == count
            assert ids | rest == set(range(40))
            assert not ids & rest
            assert others['annotations'] == []
            assert others['categories'] == data['categories']
            assert labelled['annotations'] == [
                each for each in data['annotations'] if each['image_id'] in ids
            ]
            drawn.append(ids)
    # More labels of a draw contain the fewer; another draw is another.
    assert drawn[0] < drawn[1]
    assert drawn[1] != drawn[3]
    assert split.main([str(path), '--percent', '100']) == 1
    assert '--percent 100: write a number' in capsys.readouterr().err


def capsys_text(capsys, kept=[]):  # noqa: B006
    kept.append(capsys.readouterr().out)
    return ''.join(kept)


@pytest.mark.parametrize(
    'path', sorted(CONFIGS.glob('*.py')), ids=lambda path: path.stem
)
def test_configs(path):
    """Batches, loss weights and schedules of the fact sheet."""
    cfg = load_config(str(path))
    if path.stem.endswith('labelled'):
        assert cfg.model.type == 'MaskRCNN'
        assert cfg.train_dataloader.dataset.indices == 50
        return
    assert cfg.model.type == 'swin_dense.SoftTeacher'
    is_full = path.stem.endswith('unlabeled2017')
    settings = cfg.model.semi_train_cfg
    assert settings.unsup_weight == (2 if is_full or path == NANO else 4)
    if path != NANO:
        assert 'burn_in' not in settings
        assert cfg.train_cfg.max_iters == (720000 if is_full else 180000)
        steps = [480000, 640000] if is_full else [120000, 160000]
        assert cfg.param_scheduler[1].milestones == steps
        ratio = [1, 1] if is_full else [1, 4]
        assert cfg.train_dataloader.sampler.source_ratio == ratio
    sampler = cfg.train_dataloader.sampler
    assert sampler.batch_size == cfg.train_dataloader.batch_size
    data = cfg.train_dataloader.dataset
    branches = data.unlabelled.pipeline[-1]
    assert branches.unsup_student[-1].type == 'PackDetInputs'
    assert 'homography_matrix' in branches.unsup_teacher[-1].meta_keys
    types = [step.type for step in branches.unsup_student]
    assert 'RandomErasing' in types
    assert 'RandomErasing' not in [s.type for s in branches.unsup_teacher]


def test_the_nano_configs_differ_by_the_unlabelled_images_alone(
    tmp_path, tool
):
    """Both see the same labelled images, as many of them, for as long."""
    init_default_scope('mmdet')
    paths, configs = [], []
    for variant in tool('compare').VARIANTS:
        cfg = load_config(str(PROJECT.parents[1] / variant.config))
        data = cfg.train_dataloader.dataset
        data = data.get('labelled', data)
        data.data_root = f'{tmp_path}/'
        data.generate.update(num_images=60, image_size=32)
        dataset = DATASETS.build(data)
        paths.append(
            [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
        )
        configs.append(cfg)
    assert paths[0] == paths[1]
    assert len(paths[0]) == 50
    teacher, alone = configs
    for key in ('train_cfg', 'param_scheduler', 'optim_wrapper'):
        assert teacher[key] == alone[key]
    assert teacher.model.detector == alone.model
    assert teacher.val_dataloader == alone.val_dataloader
    # Half of a batch is labelled.
    batch = alone.train_dataloader.batch_size
    assert teacher.train_dataloader.sampler.batch_size == 2 * batch
    assert teacher.train_dataloader.sampler.source_ratio == [1, 1]
    burn_in = teacher.model.semi_train_cfg.burn_in
    assert 0 < burn_in < teacher.train_cfg.max_iters


def test_the_command_compares_student_and_teacher(run, tool):
    """The run has the metrics that the table needs."""
    variant = tool('compare').VARIANTS[0]
    metrics = final_metrics(run, variant.rows.values())
    assert list(metrics) == [
        f'{net}/coco/{kind}_mAP'
        for net in ('student', 'teacher')
        for kind in ('bbox', 'segm')
    ]


def test_unlabelled_images_of_a_plain_folder(tmp_path):
    """The config of the README, on images without any annotation file."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(3):
        image = np.full((48, 64, 3), 80 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(NANO)!r}\n'
        'train_dataloader = dict(\n'
        '    dataset=dict(\n'
        '        unlabelled=dict(\n'
        '            _delete_=True,\n'
        "            type='swin_dense.ImageFolderDataset',\n"
        f'            data_root={str(folder)!r},\n'
        '            pipeline=_base_.unlabelled_pipeline)))\n'
    )
    settings = [
        setting
        for setting in options(tmp_path)
        if 'dataset.unlabelled' not in setting
    ]
    settings += ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    arguments = [str(config), '--work-dir', str(tmp_path / 'run')]
    assert command.main([*arguments, '--cfg-options', *settings]) == 0
    assert (tmp_path / 'run' / 'iter_2.pth').is_file()
    # There is no truth to judge pseudo boxes by.
    assert (tmp_path / 'run' / 'pseudo_boxes.png').is_file()
    assert not (tmp_path / 'run' / 'pseudo_boxes.csv').exists()
