"""The whole path on real label maps: train, test, predict."""

import json

import cv2
import numpy as np
import pytest

from helpers.command_line import REPOSITORY, run
from swin_dense.engine.launch import load_config
from swin_dense.engine.resume import find_latest

pytest.importorskip('mmseg', reason='the models are of mmseg')

# Folder: classes that its label maps have, and images.
FOLDERS = {
    'human_parsing': (
        [
            'background',
            'hat',
            'hair',
            'upper clothes',
            'pants',
            'face',
            'left arm',
            'right arm',
        ],
        2,
    ),
    'aerial': (['road', 'building', 'low vegetation', 'tree', 'car'], 1),
}


@pytest.mark.parametrize('name', FOLDERS)
def test_configs_explain_themselves(name):
    path = REPOSITORY / 'configs' / f'upernet_swin_nano_{name}.py'
    lines = path.read_text().splitlines()
    assert f'configs/{path.name}' in lines[0]
    config = load_config(path)
    assert 'CPU cores' in config.recipe.hardware
    for head in (config.model.decode_head, config.model.auxiliary_head):
        assert head.num_classes == len(config.classes)
    assert set(FOLDERS[name][0]) <= set(config.classes)


@pytest.mark.slow
@pytest.mark.parametrize('name', FOLDERS)
def test_images_are_learnt_by_heart(real_data, tmp_path, name):
    config = REPOSITORY / 'configs' / f'upernet_swin_nano_{name}.py'
    folder = real_data / name
    present, count = FOLDERS[name]
    data = ['--cfg-options', f'data_root={folder}/']
    assert (
        run('train', config, '--work-dir', tmp_path, '--seed', 0, *data) == 0
    )
    weights = find_latest(tmp_path)
    assert (
        run(
            'test',
            config,
            weights,
            '--work-dir',
            tmp_path / 'test',
            '--out',
            tmp_path / 'metrics.json',
            *data,
            'test_evaluator.classwise=True',
        )
        == 0
    )
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['metrics']
    assert metrics['aAcc'] >= 95
    known = {
        key.removeprefix('Acc.') for key in metrics if key.startswith('Acc.')
    }
    assert known == set(present)  # the others are absent

    out = tmp_path / 'out'
    for options in ([], ['--tile', 512]):  # all fit in one tile
        assert (
            run(
                'predict',
                config,
                weights,
                folder / 'images',
                '--out',
                out,
                '--areas',
                *options,
                *data,
            )
            == 0
        )
        images = json.loads((out / 'areas.json').read_text())['images']
        assert len(images) == count
        hit = total = 0
        for image in images:
            assert (
                sum(a['pixels'] for a in image['areas'].values())
                == image['width'] * image['height']
            )
            result = cv2.imread(image['label_map'], cv2.IMREAD_UNCHANGED)
            path = folder / 'labels' / image['label_map'].rsplit('/', 1)[1]
            truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            # Value 0 of the aerial image is ignored.
            counted = truth >= (name == 'aerial')
            hit += np.sum(result[counted] == truth[counted])
            total += counted.sum()
        # The label maps that are written are those that were measured.
        assert 100 * hit / total == pytest.approx(metrics['aAcc'], abs=0.01)
