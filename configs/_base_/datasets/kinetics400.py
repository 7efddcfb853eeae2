# Kinetics-400: clips of 32 frames, every second frame, at 224 x 224 pixels. A
# test averages 4 clips x 3 crops per video.
dataset_type = 'swin_dense.CheckedVideoDataset'
data_root = 'data/kinetics400/'
side = 224
short_side = 256

load = dict(type='swin_dense.VideoInit')
decode = dict(type='swin_dense.VideoDecode')
sample = dict(type='SampleFrames', clip_len=32, frame_interval=2, num_clips=1)
pack = [
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
train_pipeline = [
    load, sample, decode,
    dict(type='Resize', scale=(-1, short_side)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(side, side), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5), *pack
]
val_pipeline = [
    load,
    dict(sample, test_mode=True), decode,
    dict(type='Resize', scale=(-1, short_side)),
    dict(type='CenterCrop', crop_size=side), *pack
]
test_pipeline = [
    load,
    dict(sample, num_clips=4, test_mode=True), decode,
    dict(type='Resize', scale=(-1, side)),
    dict(type='swin_dense.EvenCrops', crop_size=side, count=3), *pack
]

train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        num_classes=400,
        ann_file=data_root + 'kinetics400_train_list_videos.txt',
        data_prefix=dict(video=data_root + 'videos_train'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        num_classes=400,
        ann_file=data_root + 'kinetics400_val_list_videos.txt',
        data_prefix=dict(video=data_root + 'videos_val'),
        pipeline=val_pipeline,
        test_mode=True))
test_dataloader = dict(
    val_dataloader,
    batch_size=1,
    dataset=dict(val_dataloader['dataset'], pipeline=test_pipeline))

val_evaluator = dict(type='swin_dense.CheckedAccMetric')
test_evaluator = val_evaluator
