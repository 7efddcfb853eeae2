"""A recipe on a user's COCO files: classes, masks, images, heads."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope

from helpers.coco import tiny_data, write_data
from swin_dense.engine.own_data import Sources, write_own_config

NANO = 'mask_rcnn_swin_nano'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with `data/annotations/train.json` and images."""
    monkeypatch.chdir(tmp_path)
    write_data(Path('data'), tiny_data())
    write_data(Path('data'), tiny_data(), 'val')
    return tmp_path


def own(recipe=NANO, data='data/annotations/train.json', **kwargs):
    """Return the config that is written, and the sentences about it."""
    sources = {
        name: kwargs.pop(name)
        for name in tuple(kwargs)
        if name in Sources.__dataclass_fields__
    }
    for name in ('val', 'images', 'val_images'):
        if sources.get(name):
            sources[name] = Path(sources[name])
    written = write_own_config(
        recipe, Sources(Path(data), **sources), **kwargs
    )
    return Config.fromfile(str(written.path)), '\n'.join(written.notes)


def change(name, edit):
    """Change a COCO file."""
    file = Path('data', 'annotations', f'{name}.json')
    data = json.loads(file.read_text())
    edit(data)
    file.write_text(json.dumps(data))


def drop_masks(data):
    for annotation in data['annotations']:
        annotation['segmentation'] = []


VAL = dict(val='data/annotations/val.json')


def test_classes_images_and_heads(place):
    cfg, notes = own(**VAL)
    assert cfg.filename == f'work_dirs/{NANO}/{NANO}.py'
    assert cfg.classes == ['cat', 'dog']
    with DefaultScope.overwrite_default_scope('mmdet'):
        train = DATASETS.build(cfg.train_dataloader.dataset)
        val = DATASETS.build(cfg.val_dataloader.dataset)
        model = MODELS.build(cfg.model)
    assert train.metainfo['classes'] == val.metainfo['classes']
    # An image without objects is trained on, too.
    assert (len(train), len(val)) == (3, 3)
    assert train[0]['inputs'].shape[0] == 3
    head = model.roi_head
    assert head.bbox_head.num_classes == head.mask_head.num_classes == 2
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file
    assert cfg.test_dataloader == cfg.val_dataloader
    assert 'data: 3 images to train on, 3 to validate with, 2 classes' in notes
    assert cfg.train_dataloader.batch_size == 3  # not more than there are


def test_the_config_is_short_and_can_be_changed(place):
    cfg, _ = own(**VAL, command=['swin-dense', 'train', 'a b'])
    text = Path(cfg.filename).read_text()
    assert text.startswith(
        "# Written by: swin-dense train 'a b'\n# Change it as you like; then\n"
        f'#   swin-dense train {cfg.filename}\n'
    )
    assert len(text.splitlines()) < 50
    assert max(map(len, text.splitlines())) < 80
    # The same command finds its config again; another one takes a new folder.
    again, _ = own(**VAL, command=['swin-dense', 'train', 'a b', '--resume'])
    assert again.filename == cfg.filename
    other, _ = own(**VAL, epochs=3)
    assert other.work_dir == f'work_dirs/{NANO}_2'
    assert Path(cfg.filename).read_text() == text
    with pytest.raises(ValueError, match='is another config: train it with'):
        own(**VAL, epochs=4, work_dir=f'work_dirs/{NANO}_2')


@pytest.mark.parametrize(
    'recipe, kind',
    [
        ('mask_rcnn_swin_t', 'FasterRCNN'),
        ('cascade_swin_t', 'CascadeRCNN'),
        ('cascade_swinv2_b_coco_lsj_1024', 'CascadeRCNN'),
        ('reppoints_v2_swin_t', 'RepPointsDetector'),
    ],
)
def test_boxes_without_masks(place, recipe, kind):
    change('train', drop_masks)
    cfg, notes = own(recipe, **VAL)
    assert cfg.model.type == kind
    assert cfg.val_evaluator.metric == 'bbox'
    if 'reppoints' not in recipe:
        assert (
            'data/annotations/train.json has boxes and no masks: the model '
            'has no mask head'
        ) in notes
        assert cfg.model.roi_head.mask_head is None
    with DefaultScope.overwrite_default_scope('mmdet'):
        train = DATASETS.build(cfg.train_dataloader.dataset)
    assert 'masks' not in train[0]['data_samples'].gt_instances
    heads = cfg.model.get('roi_head', cfg.model).bbox_head
    heads = heads if isinstance(heads, list) else [heads]
    assert {head.num_classes for head in heads} == {2}


def test_a_model_that_needs_masks_says_so(place):
    change('val', drop_masks)
    for recipe in ('htcpp_swin_b', 'mask_reppoints_v2_swin_t'):
        with pytest.raises(ValueError, match='cannot learn from boxes alone'):
            own(recipe, **VAL)


def test_stuff_is_left_out(place):
    """HTC++ trains without label maps, which own data do not have."""
    cfg, _ = own('htcpp_swin_b', **VAL)
    assert cfg.model.roi_head.semantic_head is None
    assert [head.num_classes for head in cfg.model.roi_head.mask_head] == [
        2
    ] * 3
    assert cfg.train_dataloader.dataset.data_prefix.seg is None


def test_masks_of_some(place):
    change('train', lambda data: data['annotations'][1].pop('segmentation'))
    with pytest.raises(ValueError) as caught:
        own(**VAL)
    assert str(caught.value) == (
        'data/annotations/train.json: 1 of 4 annotations have a box and no '
        'mask (ids 101). Add the masks, or train boxes alone with --no-masks'
    )
    cfg, notes = own(**VAL, uses_masks=False)
    assert cfg.model.type == 'FasterRCNN'
    assert '--no-masks: boxes are trained' in notes


def test_a_share_is_held_out(place):
    cfg, notes = own()
    folder = Path(cfg.work_dir)
    parts = [
        json.loads((folder / f'{name}.json').read_text())
        for name in ('train', 'val')
    ]
    files = [
        {image['file_name'] for image in part['images']} for part in parts
    ]
    assert set.union(*files) == {'7.png', '5.png', '9.png'}
    assert not set.intersection(*files)
    assert all(part['annotations'] for part in parts)
    assert [len(part) for part in files] == [2, 1]
    assert (
        'no --val: 1 image of data/annotations/train.json, 10%, are held out'
    ) in notes
    assert cfg.val_evaluator.ann_file == f'{folder}/val.json'
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 2


def test_some_of_the_classes(place):
    cfg, _ = own(**VAL, classes=('dog',))
    with DefaultScope.overwrite_default_scope('mmdet'):
        train = DATASETS.build(cfg.train_dataloader.dataset)
    assert train.metainfo['classes'] == ('dog',)
    infos = [train.get_data_info(i) for i in range(len(train))]
    assert sum(len(info['instances']) for info in infos) == 2


def test_roboflow(place):
    """Its first category is above the others and has no objects."""

    def add_group(data):
        data['categories'].insert(0, dict(id=0, name='pets'))
        for category in data['categories'][1:]:
            category['supercategory'] = 'pets'

    change('train', add_group)
    cfg, notes = own(**VAL)
    assert cfg.classes == ['cat', 'dog']
    assert "category 'pets' is above other categories" in notes


@pytest.mark.parametrize(
    'folder', ['annotations', 'images', 'annotations/images', '.']
)
def test_images_are_found(place, folder):
    target = place / 'data' / folder
    target.mkdir(exist_ok=True)
    for image in (place / 'data' / 'train').iterdir():
        image.rename(target / image.name)
    cfg, _ = own(data='data/annotations/train.json', **VAL)
    prefix = cfg.train_dataloader.dataset.data_prefix.img
    assert Path(prefix) == Path('data', folder)


def test_errors_for_people(place):
    with pytest.raises(FileNotFoundError, match=r'^no\.json does not exist$'):
        own(data='no.json')
    with pytest.raises(ValueError) as caught:
        own(data='data')
    assert str(caught.value) == (
        'data is a folder, and this recipe reads COCO files; JSON files '
        'there: data/annotations/train.json, data/annotations/val.json'
    )
    with pytest.raises(FileNotFoundError, match='--images nowhere is no'):
        own(**VAL, images='nowhere')
    for image in (place / 'data' / 'train').iterdir():
        image.unlink()
    for image in (place / 'data' / 'val').iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        own(**VAL)
    assert 'such as 7.png, are not beside it: searched were' in str(
        caught.value
    )
    assert str(caught.value).endswith('Name their folder with --images DIR')
    with pytest.raises(ValueError, match='generates its own data; leave the'):
        own('mask_rcnn_swin_nano_shapes')
    assert not Path('work_dirs').exists()
