# tools/dist_train.sh configs/video_swin_t_k400.py 8
# Kinetics-400 val, published: top-1 78.8, top-5 93.6; not measured here yet
# 8 GPUs x 8 clips; hours not measured here
# arXiv 2106.13230; Video Swin-T of its released models
_base_ = [
    './_base_/models/video_swin.py',
    './_base_/datasets/kinetics400.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]
