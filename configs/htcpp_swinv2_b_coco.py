# tools/dist_train.sh configs/htcpp_swinv2_b_coco.py 32
# COCO val2017, published: no AP of this recipe; not measured here yet
# 32 GPUs x 2 images; hours not measured here
# arXiv 2111.09883, appendix; HTC++ SwinV2-B 3x, windows of 32 (docs/htcpp.md)
_base_ = [
    './_base_/models/htcpp_swinv2.py',
    './_base_/datasets/coco_htcpp_lsj_1536.py',
    './_base_/schedules/schedule_3x_v2.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=[128, 256, 512, 1024]))
