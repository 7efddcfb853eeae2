# tools/dist_train.sh configs/mask_rcnn_swinv2_t_coco.py 8
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/parts/swinv2.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883; Mask R-CNN SwinV2-T, windows of 8, at the '
    'schedule of Swin V1')
model = dict(backbone=dict(_base_.swinv2, _delete_=True))
