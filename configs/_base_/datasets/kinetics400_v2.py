# Kinetics-400 for Swin V2: clips of 8 frames, every eighth one, of 256 pixels a
# side; a video is tested by 4 clips x 5 crops.
_base_ = './kinetics400.py'
side = 256
short_side = 292  # in the proportion of 256 to 224

sample = dict(type='SampleFrames', clip_len=8, frame_interval=8, num_clips=1)
load, _, decode, _, crop, _, *rest = _base_.train_pipeline
train_pipeline = [
    load, sample, decode,
    dict(type='Resize', scale=(-1, short_side)), crop,
    dict(type='Resize', scale=(side, side), keep_ratio=False), *rest
]
load, _, decode, _, _, *rest = _base_.val_pipeline
val_pipeline = [
    load,
    dict(sample, test_mode=True), decode,
    dict(type='Resize', scale=(-1, short_side)),
    dict(type='CenterCrop', crop_size=side), *rest
]
test_pipeline = [
    load,
    dict(sample, num_clips=4, test_mode=True), decode,
    dict(type='Resize', scale=(-1, side)),
    dict(type='swin_dense.EvenCrops', crop_size=side, count=5), *rest
]
train_dataloader = dict(batch_size=10, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
