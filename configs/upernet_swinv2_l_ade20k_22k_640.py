# tools/dist_train.sh configs/upernet_swinv2_l_ade20k_22k_640.py 16
# ADE20K val, published: mIoU 55.9 with --tta; not measured here yet
# 16 GPUs x 4 images; hours not measured here
# arXiv 2111.09883, appendix: UPerNet SwinV2-L
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
        arch='large',
        window_size=40,
        pretrained_window_sizes=[12, 12, 12, 6],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_large_patch4_window12_192_22k.pth')),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768))
