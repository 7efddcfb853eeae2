"""A recipe on a user's clips: folders, lists, classes, heads."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from swin_dense.engine.own_data import Sources, write_own_config

NANO = 'video_swin_nano'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with empty files of clips in folders of classes."""
    monkeypatch.chdir(tmp_path)
    for split in ('train', 'val'):
        for label in ('run', 'jump'):
            folder = Path('clips', split, label)
            folder.mkdir(parents=True)
            for number in range(3):
                (folder / f'{label}{number}.mp4').touch()
    return tmp_path


def own(data, recipe=NANO, **kwargs):
    """Return the config that is written, and the sentences about it."""
    written = write_own_config(recipe, Sources(Path(data), **kwargs))
    return Config.fromfile(str(written.path)), '\n'.join(written.notes)


def datasets(cfg):
    with DefaultScope.overwrite_default_scope('mmaction'):
        return [
            DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            for split in ('train', 'val', 'test')
        ]


def test_folders_of_classes(place):
    cfg, notes = own('clips')
    train, val, test = datasets(cfg)
    assert [len(part) for part in (train, val, test)] == [6, 6, 6]
    assert train.metainfo['classes'] == ('jump', 'run')
    assert val.get_data_info(0)['filename'] == 'clips/val/jump/jump0.mp4'
    with DefaultScope.overwrite_default_scope('mmaction'):
        model = MODELS.build(cfg.model)
    assert model.cls_head.num_classes == 2
    assert 'data: 6 clips to train on, 6 to validate with, 2 classes' in notes


def test_a_share_of_each_class(place):
    cfg, notes = own('clips/train')
    train, val, _ = datasets(cfg)
    labels = [
        sorted(part.get_data_info(i)['label'] for i in range(len(part)))
        for part in (train, val)
    ]
    assert labels == [[0, 0, 1, 1], [0, 1]]
    assert 'a share of 0.1 of each class, are held out' in notes


def test_lists(place):
    Path('train.txt').write_text(
        'train/run/run0.mp4 1\ntrain/jump/jump0.mp4 0'
    )
    Path('val.csv').write_text('path,label\nval/run/run0.mp4,1\n')
    cfg, notes = own(
        'train.txt', 'video_swin_t', val=Path('val.csv'), images=Path('clips')
    )
    assert cfg.classes == ['0', '1']
    assert 'classes: the numbers 0 to 1; --classes gives them names' in notes
    # The test of the recipe keeps its several views.
    views = cfg.test_dataloader.dataset.pipeline[1]['num_clips']
    assert views == 4
    assert [len(part) for part in datasets(cfg)] == [2, 1, 1]


def test_errors_for_people(place):
    with pytest.raises(FileNotFoundError, match='^nowhere does not exist$'):
        own('nowhere')
    Path('train.txt').write_text('train/run/run0.mp4 1\n')
    with pytest.raises(FileNotFoundError, match='Name their folder with --im'):
        own('train.txt')
    Path('empty').mkdir()
    with pytest.raises(ValueError, match='empty has no folders of clips'):
        own('empty')
    Path('empty.txt').touch()
    with pytest.raises(ValueError, match='empty.txt lists no clips'):
        own('empty.txt')
