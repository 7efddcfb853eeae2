"""A recipe on a user's label maps: folders, classes, heads."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from helpers.label_maps import label_map, write_pair
from swin_dense.engine.own_data import Sources, write_own_config

NANO = 'upernet_swin_nano'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with `data/{images,annotations}/{training,val}`."""
    monkeypatch.chdir(tmp_path)
    for split in ('training', 'val'):
        for name in 'abc':
            write_pair(Path('data'), name, split=split)
    return tmp_path


def own(data, recipe=NANO, **kwargs):
    """Return the config that is written, and the sentences about it."""
    written = write_own_config(recipe, Sources(Path(data), **kwargs))
    return Config.fromfile(str(written.path)), '\n'.join(written.notes)


def build(cfg):
    """Return the training set, the validation set and the model."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        return (
            DATASETS.build(cfg.train_dataloader.dataset),
            DATASETS.build(cfg.val_dataloader.dataset),
            MODELS.build(cfg.model),
        )


@pytest.mark.parametrize('recipe', [NANO, 'upernet_swin_t'])
def test_one_folder_with_everything(place, recipe):
    cfg, notes = own('data', recipe)
    if recipe == NANO:
        train, val, model = build(cfg)
        assert (len(train), len(val)) == (3, 3)
        assert train.metainfo['classes'] == ['0', '1', '2']
        channels, *size = train[0]['inputs'].shape
        # A crop; the model pads it to 256 x 256.
        assert channels == 3 and max(size) <= 256
        heads = model.decode_head, model.auxiliary_head
        assert [head.num_classes for head in heads] == [3, 3]
    assert cfg.train_dataloader.dataset.type == 'swin_dense.CheckedSegDataset'
    assert cfg.model.decode_head.num_classes == 3
    assert cfg.test_dataloader == cfg.val_dataloader
    assert 'data: 3 images to train on, 3 to validate with, 3 classes' in notes
    assert 'the values 0 to 2 of the label maps; --classes' in notes


def test_classes_of_a_file_and_a_share(place):
    Path('data/classes.txt').write_text('ground\nroad\ncar\nsky\n')
    cfg, notes = own('data/annotations/val')
    assert cfg.classes == ['ground', 'road', 'car', 'sky']
    train, val, _ = build(cfg)
    assert (len(train), len(val)) == (2, 1)
    files = {
        Path(part[0]['data_samples'].img_path).name for part in (train, val)
    }
    assert len(files) == 2
    assert 'no --val: 1 image of data/images/val, 10%, are held out' in notes
    assert 'classes: those in data/classes.txt' in notes
    # Names on the command line come first.
    cfg, _ = own('data/annotations/val', classes=('a', 'b', 'c'))
    assert cfg.classes == ['a', 'b', 'c']


def test_errors_for_people(place):
    with pytest.raises(ValueError, match='is a file, and this recipe reads a'):
        own('data/images/val/a.jpg')
    with pytest.raises(FileNotFoundError, match='^nowhere does not exist$'):
        own('data', val=Path('nowhere'))
    with pytest.raises(
        FileNotFoundError, match='images/training has no label'
    ):
        own('data/images')
    Path('data/images').rename('data/pictures')
    with pytest.raises(FileNotFoundError, match='Name their folder with --im'):
        own('data')
    cfg, _ = own(
        'data/annotations/val',
        val=Path('data/annotations/val'),
        images=Path('data/pictures/val'),
        val_images=Path('data/pictures/val'),
    )
    assert len(build(cfg)[0]) == 3
    write_pair(Path('data'), 'd', label_map(0, 1), split='val')
    with pytest.raises(FileNotFoundError, match='no image in data/pictures'):
        own('data/annotations/training', images=Path('data/pictures'))
