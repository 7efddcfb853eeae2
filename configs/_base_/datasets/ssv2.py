# Something-Something V2: a clip has one frame of each of 32 equal segments of a
# video. There is no flip, because several classes are directions.
_base_ = './kinetics400.py'
data_root = 'data/sthv2/'
side = _base_.side

load, _, decode, resize, crop, square, _, *pack = _base_.train_pipeline
sample = dict(type='UniformSample', clip_len=32)
train_pipeline = [
    load, sample, decode, resize, crop, square,
    dict(type='swin_dense.ClipRandAugment', count=4, magnitude=7),
    dict(type='RandomErasing', erase_prob=0.25), *pack
]
val_pipeline = [
    load,
    dict(sample, test_mode=True), decode, resize,
    dict(type='CenterCrop', crop_size=side), *pack
]
test_pipeline = [
    load,
    dict(sample, test_mode=True), decode,
    dict(type='Resize', scale=(-1, side)),
    dict(type='swin_dense.EvenCrops', crop_size=side, count=3), *pack
]
videos = dict(video=data_root + 'videos')
train_dataloader = dict(
    dataset=dict(
        num_classes=174,
        ann_file=data_root + 'sthv2_train_list_videos.txt',
        data_prefix=videos,
        pipeline=train_pipeline))
val = dict(
    num_classes=174,
    ann_file=data_root + 'sthv2_val_list_videos.txt',
    data_prefix=videos)
val_dataloader = dict(dataset=dict(val, pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(val, pipeline=test_pipeline))
