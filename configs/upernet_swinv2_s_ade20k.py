# tools/dist_train.sh configs/upernet_swinv2_s_ade20k.py 8
_base_ = './upernet_swinv2_t_ade20k.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883, appendix, ablation: UPerNet SwinV2-T, here '
    'with SwinV2-S')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_small_patch4_window8_256.pth')))
