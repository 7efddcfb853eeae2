# Your own label maps, for a small model: crops of 256 pixels of images whose
# short side is 256.
_base_ = './ade20k.py'
data_root = 'data/own/'
crop_size = (256, 256)
scale = (1024, 256)

load, annotations, resize, crop, *rest = _base_.train_pipeline
train_pipeline = [
    load, annotations,
    dict(resize, scale=scale, ratio_range=(0.75, 1.5)),
    dict(crop, crop_size=crop_size), *rest
]
load, resize, *rest = _base_.test_pipeline
test_pipeline = [load, dict(resize, scale=scale), *rest]

data = dict(
    type='swin_dense.CheckedSegDataset',
    data_root=data_root,
    reduce_zero_label=False,
    metainfo=dict(classes=data_root + 'classes.txt'))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        data,
        data_prefix=dict(
            img_path='images/train', seg_map_path='labels/train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
