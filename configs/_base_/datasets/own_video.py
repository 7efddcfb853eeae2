# Your own clips, for a small model: 8 frames, every fourth frame, at 96 x 96
# pixels. A test takes one clip of a video.
_base_ = './kinetics400.py'
data_root = 'data/own/'
side = 96

load, sample, decode, resize, crop, square, flip, *pack = _base_.train_pipeline
sample = dict(sample, clip_len=8, frame_interval=4)
resize = dict(resize, scale=(-1, side))
train_pipeline = [
    load, sample, decode, resize, crop,
    dict(square, scale=(side, side)), flip, *pack
]
val_pipeline = [
    load,
    dict(sample, test_mode=True), decode, resize,
    dict(type='CenterCrop', crop_size=side), *pack
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        num_classes=None,
        ann_file='',
        data_prefix=dict(video=data_root + 'train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        num_classes=None,
        ann_file='',
        data_prefix=dict(video=data_root + 'val'),
        pipeline=val_pipeline))
test_dataloader = dict(val_dataloader, batch_size=8)
