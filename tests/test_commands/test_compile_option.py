"""`--compile` of the tools trains, tests and predicts the same."""

import json

import cv2
import numpy as np
import pytest
import torch

from helpers.command_line import CONFIG, error_of, run
from swin_dense.checkpoints.files.read import read_checkpoint


def train(root, name, *options):
    folder = root / name
    status = run(
        'train',
        CONFIG,
        '--work-dir',
        folder,
        '--seed',
        0,
        *options,
        '--cfg-options',
        f'data_root={root}/shapes',
    )
    assert status == 0
    return folder / 'iter_2.pth'


@pytest.mark.slow
def test_train_test_predict(tmp_path):
    torch.compiler.reset()
    plain = train(tmp_path, 'plain')
    compiled = train(tmp_path, 'compiled', '--compile', 'eager')
    log = '\n'.join(
        file.read_text() for file in (tmp_path / 'compiled').glob('*/*.log')
    )
    assert 'compiled by torch.compile, backend eager' in log
    weights = read_checkpoint(plain)['state_dict']
    others = read_checkpoint(compiled)['state_dict']
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, rtol=1e-3, atol=1e-4)

    metrics = []
    for options in ([], ['--compile', 'eager']):
        out = tmp_path / 'metrics.json'
        data = ['--cfg-options', f'data_root={tmp_path}/shapes']
        folder = ['--work-dir', tmp_path / 'test', '--out', out]
        assert run('test', CONFIG, plain, *folder, *options, *data) == 0
        metrics.append(json.loads(out.read_text())['metrics'])
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-3)

    image = tmp_path / 'image.png'
    cv2.imwrite(str(image), np.full((40, 56, 3), 90, np.uint8))
    arguments = [CONFIG, plain, image, '--out', tmp_path / 'out']
    assert run('predict', *arguments, '--compile', 'eager') == 0
    assert (tmp_path / 'out' / 'image.png').is_file()


def test_an_unknown_backend_is_refused(tmp_path, capsys):
    status = run(
        'train',
        CONFIG,
        '--work-dir',
        tmp_path / 'work',
        '--compile',
        'fast',
        '--cfg-options',
        f'data_root={tmp_path}/shapes',
    )
    assert "no backend 'fast'" in error_of(capsys, status)
