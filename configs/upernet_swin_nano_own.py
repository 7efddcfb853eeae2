# python tools/train.py configs/upernet_swin_nano_own.py
# A small UPerNet for your own label maps, to try them on CPU cores. To be
# inherited, or named with --data (docs/own_data.md).
_base_ = [
    './_base_/models/upernet_swin_nano.py',
    './_base_/datasets/own_segmentation.py',
    './_base_/schedules/schedule_own.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
model = dict(data_preprocessor=dict(size=(256, 256)))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
default_hooks = dict(
    checkpoint=dict(interval=_base_.train_cfg.val_interval, max_keep_ckpts=2))
