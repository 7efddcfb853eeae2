# tools/dist_train.sh configs/upernet_swin_l_ade20k_22k_640.py 8
# ADE20K val, published: mIoU 52.05, 53.53 with --tta; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2103.14030; UPerNet Swin-L at 640, a row without a released config
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k_640.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window7_224_22k.pth')),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768))
