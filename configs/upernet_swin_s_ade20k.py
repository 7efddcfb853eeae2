# tools/dist_train.sh configs/upernet_swin_s_ade20k.py 8
_base_ = './upernet_swin_t_ade20k.py'

recipe = dict(
    published='mIoU 47.64, 49.47 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; UPerNet Swin-S of its released models')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
