# python tools/train.py configs/mask_rcnn_swin_nano_coco_people.py
# A small Mask R-CNN that learns a handful of photographs by heart: a test of
# the whole path on real photographs.
_base_ = [
    './_base_/models/mask_rcnn_swin_nano_photographs.py',
    './_base_/datasets/coco_people.py',
    './_base_/schedules/schedule_people.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP50 above 0.9, mask AP50 above 0.8 on the images it was '
    'trained on',
    hardware='2 CPU cores, 2.5 minutes',
    paper=None)
