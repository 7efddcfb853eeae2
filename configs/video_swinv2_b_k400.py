# tools/dist_train.sh configs/video_swinv2_b_k400.py 8
_base_ = ['./video_swinv2_t_k400.py', './_base_/parts/channels.py']

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 10 clips',
    paper='arXiv 2111.09883, appendix: first stage of SwinV2-G on '
    'Kinetics-400, here SwinV2-B')
model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window16_256.pth')),
    cls_head=dict(in_channels=_base_.channels.base[-1]))
