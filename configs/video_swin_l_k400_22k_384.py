# tools/dist_train.sh configs/video_swin_l_k400_22k_384.py 8
_base_ = [
    './_base_/models/video_swin_22k.py',
    './_base_/datasets/kinetics400_384.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published='top-1 84.9, top-5 96.7',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230 has the figure; the settings are those of '
    'Swin-L at 224')
model = dict(
    backbone=dict(
        arch='large',
        window_size=(8, 12, 12),
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window12_384_22k.pth')),
    cls_head=dict(in_channels=_base_.channels.large[-1]))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
