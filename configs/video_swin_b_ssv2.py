# tools/dist_train.sh configs/video_swin_b_ssv2.py 8
_base_ = [
    './_base_/models/video_swin_22k.py',
    './_base_/datasets/ssv2.py',
    './_base_/schedules/schedule_60e_video.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published='top-1 69.6, top-5 92.7',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230; Video Swin-B with windows (16, 7, 7) of its '
    'released models')
model = dict(
    backbone=dict(
        window_size=(16, 7, 7),
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.4/swin_base_patch244_window1677_kinetics400_22k.pth'
        )),
    cls_head=dict(num_classes=174, label_smooth_eps=0.1))
optim_wrapper = dict(optimizer=dict(lr=3e-4, weight_decay=0.05))
