# tools/dist_train.sh configs/reppoints_v2_swin_nano_shapes.py 2
# A small model for a quick start: all parts at work in minutes.
_base_ = [
    './_base_/models/reppoints_v2_swin_nano.py',
    './_base_/datasets/shapes_boxes.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.377 on generated shapes',
    hardware='2 CPU cores, minutes',
    paper=None)

# As long as Mask R-CNN trains for its 1300 steps.
max_iters = 1750
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up,
    dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
