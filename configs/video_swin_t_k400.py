# tools/dist_train.sh configs/video_swin_t_k400.py 8
_base_ = [
    './_base_/models/video_swin.py',
    './_base_/datasets/kinetics400.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published='top-1 78.8, top-5 93.6',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230; Video Swin-T of its released models')
