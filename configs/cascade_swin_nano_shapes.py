# tools/dist_train.sh configs/cascade_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.526, mask AP 0.527 on generated shapes',
    hardware='2 CPU cores, 7.5 minutes: the training of `make demo`',
    paper=None)
