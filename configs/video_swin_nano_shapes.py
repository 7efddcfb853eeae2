# tools/dist_train.sh configs/video_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/video_swin_nano.py',
    './_base_/datasets/shapes_video.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured='top-1 0.995 on generated clips of 8 motions',
    hardware='2 CPU cores, 3.5 minutes beside other work',
    paper=None)
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=50),
    dict(cosine, begin=50, end=max_iters, T_max=max_iters - 50)
]
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=300, save_best=None))
log_processor = dict(by_epoch=False)
