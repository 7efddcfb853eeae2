# tools/dist_train.sh configs/mask_rcnn_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/mask_rcnn_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.321, mask AP 0.355 on generated shapes',
    hardware='2 CPU cores, minutes',
    paper=None)
