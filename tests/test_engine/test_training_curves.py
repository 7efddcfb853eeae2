"""The table and the curves of a training."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np

from swin_dense.engine.training_curves import (
    _panels,
    read_scalars,
    write_results,
)


def log(work_dir, stamp, *rows):
    """Write the values of a run as mmengine does."""
    file = Path(work_dir, stamp, 'vis_data', 'scalars.json')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('\n'.join(map(json.dumps, rows)) + '\n{"lr": 0.1, "st')


def train(step, loss):
    return dict(
        base_lr=0.1,
        lr=0.1,
        loss=loss,
        loss_cls=loss / 2,
        acc=90.0,
        time=0.5,
        data_time=0.1,
        iter=step,
        memory=100,
        step=step,
    )


def val(step, value):
    return {
        'coco/bbox_mAP': value,
        'coco/bbox_mAP_s': 0.1,
        'time': 2.0,
        'step': step,
    }


def test_a_resumed_run_continues_the_curves(tmp_path):
    first = [train(10, 4.0), train(20, 3.0), val(20, 0.1), train(30, 9.0)]
    log(tmp_path, '20260101_000000', *first)
    log(tmp_path, '20260101_010000', train(30, 2.0), val(30, 0.3))
    Path(tmp_path, '20260101_020000').mkdir()  # a test
    rows = read_scalars(tmp_path)
    assert [row['step'] for row in rows] == [10, 20, 20, 30, 30]
    assert [row['loss'] for row in rows if 'lr' in row] == [4.0, 3.0, 2.0]
    # A run from the start replaces all.
    log(tmp_path, '20260102_000000', train(10, 5.0))
    assert read_scalars(tmp_path) == [train(10, 5.0)]


def test_table_and_picture(tmp_path):
    assert write_results(tmp_path) == []
    log(tmp_path, '1', train(10, 4.0), train(20, float('nan')), val(20, 0.25))
    files = write_results(tmp_path)
    assert [file.name for file in files] == ['results.csv', 'curves.png']
    with open(files[0], newline='') as file:
        first, second = csv.DictReader(file)
    assert list(first)[0] == 'step' and 'iter' not in first
    assert (first['loss'], first['coco/bbox_mAP']) == ('4.0', '')
    assert (second['step'], second['coco/bbox_mAP']) == ('20', '0.25')
    # The validation's times do not replace those of the training.
    assert (second['time'], second['val_time']) == ('0.5', '2.0')
    pixels = cv2.imread(str(files[1]))
    assert pixels.shape[1] > 1000 and pixels.std() > 10


def test_panels():
    rows = [train(10, 4.0), train(20, np.nan), val(20, 0.25)]
    panels = _panels(rows)
    assert panels == {
        'loss': {'loss': ([10], [4.0]), 'loss_cls': ([10], [2.0])},
        'validation': {'coco/bbox_mAP': ([20], [0.25])},
        'learning rate': {'lr': ([10, 20], [0.1, 0.1])},
        'accuracy in training': {'acc': ([10, 20], [90.0, 90.0])},
    }
