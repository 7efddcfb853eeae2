# tools/dist_train.sh configs/upernet_swin_s_ade20k.py 8
# ADE20K val, published: mIoU 47.64, 49.47 with --tta; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2103.14030; UPerNet Swin-S of its released models
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
