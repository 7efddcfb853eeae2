# python tools/train.py configs/video_swin_nano_own.py
# A small Video Swin for your own clips, to try them on CPU cores. To be
# inherited, or named with --data (docs/own_data.md).
_base_ = [
    './_base_/models/video_swin_nano.py',
    './_base_/datasets/own_video.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
auto_scale_lr = dict(base_batch_size=8)
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=100),
    dict(cosine, begin=100, end=max_iters, T_max=max_iters - 100)
]
default_hooks = dict(
    checkpoint=dict(
        by_epoch=False, interval=max_iters // 10, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
