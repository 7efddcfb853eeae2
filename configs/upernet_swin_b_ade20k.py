# tools/dist_train.sh configs/upernet_swin_b_ade20k.py 8
_base_ = ['./upernet_swin_t_ade20k.py', './_base_/parts/channels.py']

recipe = dict(
    published='mIoU 48.13, 49.72 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; UPerNet Swin-B of its released models')
model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224.pth')),
    decode_head=dict(in_channels=_base_.channels.base),
    auxiliary_head=dict(in_channels=_base_.channels.base[2]))
