# The quick start at half the image size, window and anchors.
_base_ = [
    '../../../configs/_base_/models/mask_rcnn_swin_nano.py',
    './_base_/shapes_128.py',
    '../../../configs/_base_/schedules/schedule_quick.py',
    '../../../configs/_base_/runtime/quick_runtime.py',
]

model = dict(
    backbone=dict(window_size=4),
    rpn_head=dict(anchor_generator=dict(scales=[4])))
