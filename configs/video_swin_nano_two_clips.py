# python tools/train.py configs/video_swin_nano_two_clips.py
# A small Video Swin that learns two clips by heart: a test of the whole path on
# real clips.
_base_ = './video_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured='top-1 1.0 on the clips it was trained on',
    hardware='2 CPU cores, 2 minutes',
    paper=None)
data_root = 'data/two_clips/'
model = dict(cls_head=dict(num_classes=2))
clips = dict(
    _delete_=True,
    type='swin_dense.CheckedVideoDataset',
    data_root=data_root,
    ann_file='list.csv',
    metainfo=dict(classes=['arm wrestling', 'moving']))
load, sample, *rest = _base_.train_pipeline
sample = dict(sample, frame_interval=4)
train_pipeline = [load, sample, *rest]
val_pipeline = [load, dict(sample, test_mode=True), *rest]
train_dataloader = dict(
    batch_size=4, dataset=dict(clips, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1, dataset=dict(clips, pipeline=val_pipeline, test_mode=True))
test_dataloader = val_dataloader

max_iters = 50
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=10),
    dict(cosine, begin=10, end=max_iters, T_max=max_iters - 10)
]
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=max_iters))
