# python tools/train.py configs/video_swin_nano_own.py
# A small Video Swin for your own clips, to try them on CPU cores. To be
# inherited, or named with --data (docs/own_data.md).
_base_ = [
    './_base_/models/video_swin_nano.py',
    './_base_/datasets/own_video.py',
    './_base_/schedules/schedule_own.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(
    checkpoint=dict(
        by_epoch=False, interval=_base_.train_cfg.val_interval, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
