# tools/dist_train.sh configs/upernet_swinv2_b_ade20k_22k_640.py 16
# ADE20K val, published: no mIoU; not measured here yet
# 16 GPUs x 4 images; hours not measured here
# arXiv 2111.09883, appendix: UPerNet SwinV2-L, here with SwinV2-B
_base_ = [
    './_base_/models/upernet_swinv2.py',
    './_base_/datasets/ade20k_640.py',
    './_base_/schedules/schedule_40k_v2.py',
    './_base_/runtime/seg_runtime.py',
]
train_dataloader = dict(batch_size=4)

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        arch='base',
        window_size=40,
        pretrained_window_sizes=[12, 12, 12, 6],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window12_192_22k.pth')),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512))
