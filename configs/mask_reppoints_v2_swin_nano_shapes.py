# tools/dist_train.sh configs/mask_reppoints_v2_swin_nano_shapes.py 2
# A small model for a quick start: all parts at work in minutes.
_base_ = [
    './_base_/models/mask_reppoints_v2_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.325, mask AP 0.308 on generated shapes',
    hardware='2 CPU cores, minutes',
    paper=None)

# Twice as many updates as for Mask R-CNN, with half as many images each: here
# that is better, and as long.
max_iters = 2400
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=150),
    dict(cosine, begin=150, end=max_iters, T_max=max_iters - 150)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
auto_scale_lr = dict(base_batch_size=2)
