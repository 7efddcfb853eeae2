# tools/dist_train.sh configs/upernet_swin_l_ade20k_22k_640.py 8
_base_ = './upernet_swin_b_ade20k_22k_640.py'

recipe = dict(
    published='mIoU 52.05, 53.53 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; UPerNet Swin-L at 640, a row without a '
    'released config')
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window7_224_22k.pth')),
    decode_head=dict(in_channels=_base_.channels.large),
    auxiliary_head=dict(in_channels=_base_.channels.large[2]))
