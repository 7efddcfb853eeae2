# tools/dist_train.sh configs/upernet_swinv2_l_ade20k_22k_640.py 16
_base_ = './upernet_swinv2_b_ade20k_22k_640.py'

recipe = dict(
    published='mIoU 55.9 with --tta',
    measured=None,
    hardware='16 GPUs x 4 images',
    paper='arXiv 2111.09883, appendix: UPerNet SwinV2-L')
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_large_patch4_window12_192_22k.pth')),
    decode_head=dict(in_channels=_base_.channels.large),
    auxiliary_head=dict(in_channels=_base_.channels.large[2]))
