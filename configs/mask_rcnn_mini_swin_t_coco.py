# tools/dist_train.sh configs/mask_rcnn_mini_swin_t_coco.py 8
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/parts/mini_swin.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2204.07154, weights of Mini-Swin-T, at the schedule of '
    'Swin-T')
model = dict(backbone=dict(_base_.mini_swin, _delete_=True))
