# Kinetics-400 at 384 x 384 pixels. A test averages 10 clips x 5 crops per video.
_base_ = './kinetics400.py'
side = 384
short_side = 438  # in the proportion of 256 to 224

load, sample, decode, _, crop, _, *rest = _base_.train_pipeline
train_pipeline = [
    load, sample, decode,
    dict(type='Resize', scale=(-1, short_side)), crop,
    dict(type='Resize', scale=(side, side), keep_ratio=False), *rest
]
load, sample, decode, _, _, *rest = _base_.val_pipeline
val_pipeline = [
    load, sample, decode,
    dict(type='Resize', scale=(-1, short_side)),
    dict(type='CenterCrop', crop_size=side), *rest
]
test_pipeline = [
    load,
    dict(sample, num_clips=10), decode,
    dict(type='Resize', scale=(-1, side)),
    dict(type='swin_dense.EvenCrops', crop_size=side, count=5), *rest
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
