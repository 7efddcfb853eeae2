# python tools/train.py configs/upernet_swin_nano_own.py
# A small UPerNet for your own label maps, to try them on CPU cores. To be
# inherited, or named with --data (docs/own_data.md).
_base_ = [
    './_base_/models/upernet_swin_nano.py',
    './_base_/datasets/own_segmentation.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
model = dict(data_preprocessor=dict(size=(256, 256)))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=100),
    dict(cosine, begin=100, end=max_iters, T_max=max_iters - 100)
]
default_hooks = dict(
    checkpoint=dict(interval=max_iters // 10, max_keep_ckpts=2))
