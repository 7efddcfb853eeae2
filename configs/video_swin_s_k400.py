# tools/dist_train.sh configs/video_swin_s_k400.py 8
_base_ = './video_swin_t_k400.py'

recipe = dict(
    published='top-1 80.6, top-5 94.5',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230; Video Swin-S of its released models')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
