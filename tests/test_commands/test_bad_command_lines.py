"""Mistakes of a user end early, with a message and a status."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from helpers.command_line import CONFIG, REPOSITORY, error_of, run
from swin_dense.commands import COMMANDS
from swin_dense.engine.input_files import name_outputs


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Weights of the tiny detector, as they were before any training."""
    from mmengine.registry import MODELS, init_default_scope

    from swin_dense.engine.launch import load_config

    torch.manual_seed(0)
    init_default_scope('mmdet')
    model = MODELS.build(load_config(CONFIG).model)
    model.roi_head.bbox_head.fc_cls.bias.data.fill_(1.0)
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    torch.save(
        dict(
            meta=dict(
                dataset_meta=dict(classes=('circle', 'square', 'triangle'))
            ),
            state_dict=model.state_dict(),
        ),
        path,
    )
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'photo.jpg'
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize('name', ['train', 'test', 'predict', 'demo'])
def test_help_ends_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as stop:
        run(name, '--help')
    assert stop.value.code == 0
    assert f'example:\n  swin-dense {name}' in capsys.readouterr().out


def test_unknown_arguments_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        run('train', CONFIG, '--work-dri', 'x')
    assert stop.value.code == 2


def test_status_reaches_the_shell():
    done = subprocess.run(
        [sys.executable, 'tools/train.py', 'configs/cascade_swin_b_koko.py'],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        'train.py: error: config configs/cascade_swin_b_koko.py does not '
        'exist; did you mean configs/cascade_swin_b_coco.py'
    )
    assert len(done.stderr.splitlines()) == 2


def test_debug_shows_the_traceback(capsys):
    assert run('train', 'no.py', '--debug') == 1
    assert 'Traceback' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['train', 'test', 'predict'])
def test_missing_config(name, capsys):
    extra = {'train': [], 'test': ['x.pth']}.get(
        name, ['x.pth', 'x.jpg', '--out', 'x']
    )
    assert 'no.py does not exist' in error_of(
        capsys, run(name, 'no.py', *extra)
    )


def test_missing_data_set(tmp_path, capsys):
    config = REPOSITORY / 'configs' / 'cascade_swin_t_coco.py'
    error = error_of(
        capsys,
        run(
            'train',
            config,
            '--work-dir',
            tmp_path,
            '--cfg-options',
            f'data_root={tmp_path}/nowhere',
            'model.backbone.init_cfg=None',
        ),
    )
    assert f'{tmp_path}/nowhere/annotations/instances_train2017.json' in error
    assert 'swin-dense train cascade_swin_nano_shapes' in error


def test_unknown_backbone_argument(tmp_path, capsys):
    error = error_of(
        capsys,
        run(
            'train',
            CONFIG,
            '--work-dir',
            tmp_path,
            '--cfg-options',
            'model.backbone.windows=7',
        ),
    )
    assert 'window_size' in error


@pytest.mark.parametrize('name', ['test', 'predict'])
def test_missing_checkpoint(name, checkpoint, photo, tmp_path, capsys):
    extra = [photo, '--out', tmp_path / 'out'] if name == 'predict' else []
    error = error_of(
        capsys, run(name, CONFIG, checkpoint.with_name('tony.pth'), *extra)
    )
    assert f'tony.pth does not exist; did you mean {checkpoint}' in error
    assert not (tmp_path / 'out').exists()


def test_checkpoint_of_another_model(checkpoint, photo, tmp_path, capsys):
    error = error_of(
        capsys,
        run(
            'predict',
            CONFIG,
            checkpoint,
            photo,
            '--out',
            tmp_path / 'out',
            '--cfg-options',
            'model.backbone.depths=[2,2,1,1]',
        ),
    )
    assert 'is not for this model' in error
    assert 'backbone.layers.1.blocks.1' in error


def test_heads_that_do_not_fit_the_classes(
    checkpoint, photo, tmp_path, capsys
):
    error = error_of(
        capsys,
        run(
            'predict',
            CONFIG,
            checkpoint,
            photo,
            '--out',
            tmp_path / 'out',
            '--cfg-options',
            'model.roi_head.bbox_head.num_classes=4',
        ),
    )
    assert '3 classes' in error and 'num_classes=4' in error


def test_classes_in_another_order(checkpoint, photo, tmp_path, capsys):
    error = error_of(
        capsys,
        run(
            'predict',
            CONFIG,
            checkpoint,
            photo,
            '--out',
            tmp_path / 'out',
            '--cfg-options',
            'test_dataloader.dataset.metainfo.classes=square,circle,triangle',
        ),
    )
    assert "'square' is 1 in the checkpoint and 0 in the config" in error


def test_amp_without_a_gpu(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('swin_dense.engine.launch.get_device', lambda: 'cpu')
    error = error_of(
        capsys, run('train', CONFIG, '--amp', '--work-dir', tmp_path)
    )
    assert '--amp needs a GPU' in error


def test_launcher_without_its_processes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('swin_dense.engine.launch.get_device', lambda: 'cpu')
    monkeypatch.delenv('RANK', raising=False)
    error = error_of(
        capsys,
        run('train', CONFIG, '--launcher', 'slurm', '--work-dir', tmp_path),
    )
    assert 'torchrun -m swin_dense train' in error


def test_inputs_without_images(checkpoint, tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('none')
    for entry in (tmp_path, tmp_path / '*.jpg', tmp_path / 'absent.jpg'):
        error = error_of(
            capsys,
            run(
                'predict', CONFIG, checkpoint, entry, '--out', tmp_path / 'out'
            ),
        )
        assert error.startswith(f'{entry}: no image there')


@pytest.mark.parametrize('skip', [False, True])
def test_bad_images_are_named_and_the_others_done(
    checkpoint, photo, tmp_path, capsys, skip
):
    (tmp_path / 'empty.png').write_bytes(b'')
    (tmp_path / 'cut.jpg').write_bytes(photo.read_bytes()[:900])
    (tmp_path / 'text.jpg').write_text('no picture')
    out = tmp_path / 'out'
    status = run(
        'predict',
        CONFIG,
        checkpoint,
        tmp_path,
        '--out',
        out,
        *(['--skip-bad'] if skip else []),
    )
    assert status == (0 if skip else 1)
    error = capsys.readouterr().err
    for name in ('empty.png', 'cut.jpg', 'text.jpg'):
        assert f'skipped: {tmp_path / name} ' in error
    assert ('3 of 4 images could not be read' in error) is not skip
    assert sorted(path.name for path in out.iterdir()) == [
        'images.json',
        'photo.jpg',
        'predictions.json',
    ]
    assert [
        i['file_name']
        for i in json.loads((out / 'images.json').read_text())['images']
    ] == [str(photo)]


def test_pictures_never_overwrite_each_other_or_an_image(tmp_path):
    paths = [
        tmp_path / name
        for name in ('a/x.jpg', 'b/x.jpg', 'b/y.webp', 'b/y.tif')
    ]
    out = tmp_path / 'out'
    assert name_outputs(paths, out) == [
        out / name
        for name in ('a/x.jpg', 'b/x.jpg', 'b/y.webp.png', 'b/y.tif.png')
    ]
    assert name_outputs(paths[1:], out) == [
        out / name for name in ('x.jpg', 'y.webp.png', 'y.tif.png')
    ]
    with pytest.raises(ValueError, match='would overwrite the input'):
        name_outputs(paths[:1], tmp_path / 'a')


PREDICT = ['c', 'w', 'i', '--out', 'o']
# The arguments that each command needs.
COMMAND_LINES = {
    'train': ['c'],
    'plan': ['c'],
    'test': ['c', 'w'],
    'predict': PREDICT,
    'explain': PREDICT,
    'web': ['c', 'w'],
    'export': ['c', 'w', '--out', 'o'],
    'extract_features': PREDICT,
    'analyze': ['c', 'w', '--out', 'o'],
    'demo': [],
    'check': ['c'],
    'browse': ['c', '--out', 'o'],
    'convert_data': ['s', '--out', 'o'],
    'recipe_diff': ['a', 'b'],
    'check_label_maps': ['c'],
    'check_videos': ['c'],
    'inspect_checkpoint': ['s'],
    'convert_checkpoint': ['s', 'd', '--to', 'timm'],
    'interpolate_position_bias': ['s', 'd', '--window', '7'],
    'compare_interpolation': [],
    'flops': ['c'],
    'benchmark': [],
    'gpu_check': [],
    'model_zoo': [],
    'fuzz': [],
}
WITHOUT_CONFIG = {
    'convert_data',
    'recipe_diff',
    'inspect_checkpoint',
    'convert_checkpoint',
    'interpolate_position_bias',
    'compare_interpolation',
    'benchmark',
    'gpu_check',
    'model_zoo',
    'fuzz',
}


def test_all_commands_are_listed_here():
    modules = {module for module, _ in COMMANDS.values()}
    assert modules == set(COMMAND_LINES)


def usage_error(capsys, name, *args):
    """Return the error of a command line that cannot be parsed."""
    with pytest.raises(SystemExit) as stop:
        run(name, *COMMAND_LINES[name], *args)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert 'Traceback' not in error
    return error.rstrip().split('error: ')[1]


@pytest.mark.parametrize('name', COMMAND_LINES)
def test_mistyped_options(name, capsys):
    assert usage_error(capsys, name, '--debgu') == (
        'unrecognized arguments: --debgu; did you mean --debug?'
    )


@pytest.mark.parametrize('name', sorted({*COMMAND_LINES} - WITHOUT_CONFIG))
def test_settings_without_a_value(name, capsys):
    error = usage_error(capsys, name, '--cfg-options', 'lr')
    assert error.startswith('argument --cfg-options: expected KEY=VALUE')


@pytest.mark.parametrize(
    'name',
    ['plan', 'predict', 'extract_features', 'benchmark', 'gpu_check'],
)
def test_a_gpu_that_is_not_there(name, monkeypatch, capsys):
    monkeypatch.setattr('torch.cuda.device_count', lambda: 0)
    status = run(name, *COMMAND_LINES[name], '--device', 'cuda:0')
    error = error_of(capsys, status)
    assert error.startswith('--device cuda:0: PyTorch finds no CUDA devices')


@pytest.mark.parametrize('name', ['train', 'test', 'predict', 'flops'])
def test_settings_of_a_wrong_type_or_place(name, capsys):
    args = [CONFIG, *COMMAND_LINES[name][1:], '--cfg-options']
    error = error_of(capsys, run(name, *args, 'lr=abc'))
    assert "a config has no 'lr'; did you mean optim_wrapper" in error
    setting = 'optim_wrapper.optimizer.lr=abc'
    error = error_of(capsys, run(name, *args, setting))
    assert f'{setting}: expected a value such as 0.01, got text' in error
