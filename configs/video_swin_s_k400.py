# tools/dist_train.sh configs/video_swin_s_k400.py 8
# Kinetics-400 val, published: top-1 80.6, top-5 94.5; not measured here yet
# 8 GPUs x 8 clips; hours not measured here
# arXiv 2106.13230; Video Swin-S of its released models
_base_ = [
    './_base_/models/video_swin.py',
    './_base_/datasets/kinetics400.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]

model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
