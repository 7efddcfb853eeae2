# Generated clips of a moving shape, written to data/shapes_video if absent. The
# class is the motion. There is no flip, because it would swap left and right.
dataset_type = 'swin_dense.MotionsDataset'
data_root = 'data/shapes_video/'

load = dict(type='swin_dense.VideoInit')
decode = dict(type='swin_dense.VideoDecode')
sample = dict(type='SampleFrames', clip_len=8, frame_interval=3, num_clips=1)
pack = [
    dict(type='Resize', scale=(48, 48), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
train_pipeline = [load, sample, decode, *pack]
val_pipeline = [load, dict(sample, test_mode=True), decode, *pack]
test_pipeline = val_pipeline

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(video='train'),
        generate=dict(num_clips=800, image_size=64, seed=0),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(video='val'),
        generate=dict(num_clips=200, image_size=64, seed=0),
        pipeline=val_pipeline,
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = dict(type='swin_dense.CheckedAccMetric')
test_evaluator = val_evaluator
