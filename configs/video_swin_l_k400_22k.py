# tools/dist_train.sh configs/video_swin_l_k400_22k.py 8
_base_ = './video_swin_b_k400_22k.py'

recipe = dict(
    published='top-1 83.1, top-5 95.9',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230 has the figure; the settings are those of '
    'mmaction2')
model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window7_224_22k.pth')),
    cls_head=dict(in_channels=_base_.channels.large[-1]))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
