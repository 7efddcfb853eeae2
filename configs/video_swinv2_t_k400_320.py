# tools/dist_train.sh configs/video_swinv2_t_k400_320.py 8
_base_ = [
    './_base_/models/video_swinv2.py',
    './_base_/datasets/kinetics400_v2_320.py',
    './_base_/schedules/schedule_5e_video_v2.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2111.09883, appendix: second stage of SwinV2-G on '
    'Kinetics-400, here SwinV2-T')
# The second stage starts from the model of the first one.
load_from = 'work_dirs/video_swinv2_t_k400/epoch_20.pth'
model = dict(backbone=dict(window_size=(8, 20, 20), init_cfg=None))
