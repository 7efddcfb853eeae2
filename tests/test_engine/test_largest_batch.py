"""The largest batch that a pipeline can give."""

import pytest
from PIL import Image

from swin_dense.engine.largest_batch import (
    Sides,
    apply_transforms,
    find_largest_batch,
    padded,
)
from swin_dense.engine.launch import load_config


class Images:
    """A data set of images of some sizes, with some objects."""

    def __init__(self, sizes, objects=(3,)):
        self.sizes = sizes
        self.objects = objects

    def __len__(self):
        return len(self.sizes)

    def get_data_info(self, index):
        height, width = self.sizes[index]
        objects = self.objects[index % len(self.objects)]
        return dict(height=height, width=width, instances=[{}] * objects)


def largest(name, sizes, objects=(3,), **loader):
    cfg = load_config(name)
    cfg.train_dataloader.update(loader)
    return find_largest_batch(cfg, Images(sizes, objects))


RESIZE = [dict(type='Resize', scale=(1333, 800), keep_ratio=True)]


def test_images_of_a_batch_are_padded_to_one_size():
    """Portrait and landscape images meet in a batch, unless grouped."""
    name = 'mask_rcnn_swin_t_coco_1x'
    sizes = [(480, 640), (640, 480), (400, 640)]
    simple = dict(dataset=dict(pipeline=RESIZE))
    found = largest(name, sizes, (1, 9, 93), **simple)
    assert found == (2, (800, 1280), 93)
    mixed = largest(name, sizes, batch_sampler=None, **simple)
    assert mixed.shape == (1088, 1280)
    alone = largest(name, sizes, batch_sampler=None, batch_size=1, **simple)
    assert sorted(alone.shape) == [800, 1280]


def test_a_crop_in_a_batch_of_landscape_images_may_be_portrait():
    """So two images of COCO take more than twice the largest."""
    for name in ('mask_rcnn_swin_t_coco', 'mask_rcnn_swin_t_coco_1x'):
        assert largest(name, [(480, 640)]).shape == (1280, 1280)
        one = largest(name, [(480, 640)], batch_size=1)
        assert sorted(one.shape) == [800, 1280]


def test_crops_change_the_ratio():
    """A crop of 384 x 600 pixels is resized to 800 x 1250."""
    steps = load_config('mask_rcnn_swin_t_coco').train_pipeline
    ways = apply_transforms(steps, Sides.exactly(480, 640))
    assert max(way.width for way in ways) == 1250
    assert max(way.height for way in ways) == 1250
    assert all(min(way.height, way.width) <= 800 for way in ways)


@pytest.mark.parametrize(
    'name, shape',
    [
        ('cascade_swinv2_b_coco_lsj_1024', (1024, 1024)),
        ('htcpp_swin_l_coco', (1216, 1600)),
        ('mask_rcnn_swin_nano_shapes', (256, 256)),
    ],
)
def test_recipes_of_detectors(name, shape):
    size = (256, 256) if 'shapes' in name else (480, 640)
    assert largest(name, [size]).shape == shape


def test_crops_of_label_maps(tmp_path):
    """Sizes are read from the images; small crops are padded."""
    path = tmp_path / 'x.png'
    Image.new('RGB', (683, 512)).save(path)

    class Files(Images):
        def get_data_info(self, index):
            return dict(img_path=str(path))

    cfg = load_config('upernet_swin_t_ade20k')
    assert find_largest_batch(cfg, Files([0])) == (2, (512, 512), 0)


def test_clips():
    assert largest('video_swin_t_k400', [(1, 1)]) == (8, (1, 32, 224, 224), 0)


def test_an_unknown_transform_is_named():
    with pytest.raises(ValueError, match='what Mosaic does.*--shape'):
        apply_transforms([dict(type='mmdet.Mosaic')], Sides.exactly(1, 1))


@pytest.mark.parametrize(
    'step, expected',
    [
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), (800, 1067)),
        (dict(type='Resize', scale=(640, 320)), (320, 640)),
        (dict(type='Resize', scale_factor=2.0), (960, 1280)),
        (dict(type='Resize', scale=(-1, 256)), (256, 341)),
        (
            dict(
                type='RandomResize',
                scale=[(800, 600), (1600, 1200)],
                keep_ratio=True,
            ),
            (1200, 1600),
        ),
        (
            dict(
                type='RandomChoiceResize',
                scales=[(480, 1333), (320, 1333)],
                keep_ratio=True,
            ),
            (480, 640),
        ),
        (dict(type='RandomCrop', crop_size=(300, 9999)), (300, 640)),
        (
            dict(
                type='RandomCrop',
                crop_size=(0.5, 0.25),
                crop_type='relative',
            ),
            (240, 160),
        ),
        (
            dict(
                type='RandomCrop',
                crop_size=(0.5, 0.25),
                crop_type='relative_range',
            ),
            (480, 640),
        ),
        (dict(type='Pad', size=(1000, 700)), (700, 1000)),
        (dict(type='Pad', size_divisor=100), (500, 700)),
        (dict(type='Pad', pad_to_square=True), (640, 640)),
        (dict(type='CenterCrop', crop_size=224), (224, 224)),
        (dict(type='RandomResizedCrop'), (480, 640)),
        (dict(type='RandomFlip'), (480, 640)),
    ],
)
def test_transforms(step, expected):
    ways = apply_transforms([step], Sides.exactly(480, 640))
    assert (
        max(way.height for way in ways),
        max(way.width for way in ways),
    ) == expected


def test_padding():
    assert padded((480, 641), dict(pad_size_divisor=32)) == (480, 672)
    assert padded((30, 90), dict(size=(64, 64))) == (64, 90)
    assert padded((30, 90), {}) == (30, 90)
