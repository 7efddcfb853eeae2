# tools/dist_train.sh configs/cascade_swinv2_b_coco_lsj_1024.py 8
# COCO val2017, published: no AP of this recipe; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883; Cascade Mask R-CNN SwinV2-B, windows of 32, jittered scale
_base_ = [
    './_base_/models/cascade_mask_rcnn_swinv2_large_scale.py',
    './_base_/datasets/coco_instance_lsj_1024.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=[128, 256, 512, 1024]))
