# tools/dist_train.sh configs/video_swin_b_k400.py 8
_base_ = ['./video_swin_t_k400.py', './_base_/parts/channels.py']

recipe = dict(
    published='top-1 80.6, top-5 94.6',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230; Video Swin-B of its released models')
model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.3,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224.pth')),
    cls_head=dict(in_channels=_base_.channels.base[-1]))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
