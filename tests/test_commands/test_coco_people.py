"""The whole path on real photographs: train, test, predict."""

import json

import cv2
import numpy as np
import pytest

from helpers.command_line import REPOSITORY, run


@pytest.mark.slow
@pytest.mark.parametrize('method', ['mask_rcnn', 'htcpp', 'mask_reppoints_v2'])
def test_four_photographs_are_learnt_by_heart(real_data, tmp_path, method):
    config = REPOSITORY / 'configs' / f'{method}_swin_nano_coco_people.py'
    folder = real_data / 'coco_people'
    data = ['--cfg-options', f'data_root={folder}']
    weights = tmp_path / 'iter_200.pth'
    assert (
        run('train', config, '--work-dir', tmp_path, '--seed', 0, *data) == 0
    )
    assert (
        run(
            'test',
            config,
            weights,
            '--work-dir',
            tmp_path,
            '--out',
            tmp_path / 'metrics.json',
            *data,
        )
        == 0
    )
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['metrics']
    assert metrics['coco/bbox_mAP_50'] >= 0.9
    assert metrics['coco/segm_mAP_50'] >= 0.8

    out = tmp_path / 'out'
    assert (
        run(
            'predict',
            config,
            weights,
            folder / 'images',
            '--out',
            out,
            '--score-thr',
            0.5,
            *data,
        )
        == 0
    )
    truth = json.loads((folder / 'instances.json').read_text())
    result = json.loads((out / 'predictions.json').read_text())
    for image in truth['images']:
        name = image['file_name']
        people = [
            a for a in truth['annotations'] if a['image_id'] == image['id']
        ]
        sure = [
            e
            for e in result
            if e['file_name'].endswith(name) and e['score'] >= 0.5
        ]
        assert len(sure) == len(people)
        # The picture shows it: every person is tinted, the corner is not.
        drawn, photo = (
            cv2.imread(str(place / name)).astype(int)
            for place in (out, folder / 'images')
        )
        changed = np.abs(drawn - photo).sum(axis=2) > 60
        for x, y, w, h in (np.round(p['bbox']).astype(int) for p in people):
            assert changed[y : y + h, x : x + w].mean() > 0.15
        assert changed[-20:, :10].mean() < 0.05
