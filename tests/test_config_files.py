"""Configs of this package by name, in a checkout and in a wheel."""

from pathlib import Path

import pytest

from swin_dense import config_files
from swin_dense.engine.launch import load_config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NAME = 'mask_rcnn_swin_nano_shapes'


def test_names_of_a_checkout():
    assert config_files.config_folder() == CONFIGS
    assert config_files.config_names() == sorted(
        path.stem for path in CONFIGS.glob('*.py')
    )
    for name in (NAME, f'{NAME}.py', f'swin_dense::{NAME}.py'):
        assert config_files.find_config(name) == CONFIGS / f'{NAME}.py'
    part = '_base_/datasets/ade20k.py'
    assert config_files.find_config(part) == CONFIGS / part


@pytest.mark.parametrize(
    'name, data',
    [
        ('mask_rcnn_swin_t', 'coco'),
        ('upernet_swin_t.py', 'ade20k'),
        ('swin_dense::video_swin_b', 'k400'),
        ('mask_rcnn_swin_nano', 'own'),
    ],
)
def test_the_data_set_may_be_left_out(name, data):
    stem = name.removeprefix('swin_dense::').removesuffix('.py')
    assert config_files.find_config(name) == CONFIGS / f'{stem}_{data}.py'


@pytest.mark.parametrize(
    'name',
    [
        'mask_rcnn',
        'README.md',
        '',
        '_base_',
        '../setup',
        '_base_/../../setup.py',
        str(CONFIGS.parent / 'tools' / 'train.py'),
    ],
)
def test_other_files_have_no_name(name):
    assert config_files.find_config(name) is None


def test_a_wheel_has_them_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, 'PACKAGE', tmp_path)
    folder = tmp_path / '.mim' / 'configs'
    folder.mkdir(parents=True)
    (folder / 'a.py').touch()
    assert config_files.config_folder() == folder
    assert config_files.config_names() == ['a']
    assert config_files.find_config('a') == folder / 'a.py'


def test_load_config_takes_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(NAME)
    assert config.filename == str(CONFIGS / f'{NAME}.py')
    assert config.work_dir == f'work_dirs/{NAME}'
    # A file of the current folder is meant before a name.
    Path(f'{NAME}.py').write_text('answer = 42')
    assert load_config(f'{NAME}.py').answer == 42
    assert 'answer' not in load_config(NAME)


def test_a_misspelt_name_is_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('cascade_swin_b_koko', 'configs/cascade_swin_b_koko.py'):
        with pytest.raises(FileNotFoundError) as caught:
            load_config(name)
        assert str(caught.value).startswith(
            f'config {name} does not exist; did you mean cascade_swin_b_coco'
        )
