# tools/dist_train.sh configs/cascade_swinv2_l_coco_lsj_1536.py 8
# COCO val2017, published: no AP of this recipe; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883; Cascade Mask R-CNN SwinV2-L, windows of 32, jittered scale
_base_ = [
    './_base_/models/cascade_mask_rcnn_swinv2_large_scale.py',
    './_base_/datasets/coco_instance_lsj_1536.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_large_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=[192, 384, 768, 1536]))
