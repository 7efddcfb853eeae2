# tools/dist_train.sh configs/htcpp_swinv2_l_coco.py 32
_base_ = './htcpp_swinv2_b_coco.py'

recipe = dict(
    published='box AP 58.8, mask AP 51.1 (60.2, 52.1 with --tta and windows of '
    '48)',
    measured=None,
    hardware='32 GPUs x 2 images',
    paper='arXiv 2111.09883, appendix; HTC++ SwinV2-L 3x, windows of 32 '
    '(docs/htcpp.md)')
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_large_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=_base_.channels.large))
