# tools/dist_train.sh configs/mask_rcnn_swinv2_s_coco.py 8
# COCO val2017, published: no AP of this recipe; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883; Mask R-CNN SwinV2-S, windows of 8, at the schedule of Swin V1
_base_ = [
    './_base_/models/mask_rcnn_swinv2_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_small_patch4_window8_256.pth')))
