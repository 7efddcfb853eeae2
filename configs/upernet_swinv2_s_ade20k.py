# tools/dist_train.sh configs/upernet_swinv2_s_ade20k.py 8
# ADE20K val, published: no mIoU; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883, appendix, ablation: UPerNet SwinV2-T, here with SwinV2-S
_base_ = [
    './_base_/models/upernet_swinv2.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k_v2.py',
    './_base_/runtime/seg_runtime.py',
]

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_small_patch4_window8_256.pth')))
