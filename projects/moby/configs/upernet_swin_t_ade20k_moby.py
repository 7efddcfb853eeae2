# tools/dist_train.sh projects/moby/configs/upernet_swin_t_ade20k_moby.py 8
# Differs from upernet_swin_t_ade20k by the checkpoint alone.
_base_ = '../../../configs/upernet_swin_t_ade20k.py'

recipe = dict(
    published='mIoU 44.06, 45.58 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2105.04553; UPerNet Swin-T of its '
    'released models')
model = dict(
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.3/moby_swin_t_300ep_pretrained.pth')))
