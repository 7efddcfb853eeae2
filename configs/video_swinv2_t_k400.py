# tools/dist_train.sh configs/video_swinv2_t_k400.py 8
_base_ = [
    './_base_/models/video_swinv2.py',
    './_base_/datasets/kinetics400_v2.py',
    './_base_/schedules/schedule_20e_video_v2.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 10 clips',
    paper='arXiv 2111.09883, appendix: first stage of SwinV2-G on '
    'Kinetics-400, here SwinV2-T')
