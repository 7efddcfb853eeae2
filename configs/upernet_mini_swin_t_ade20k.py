# tools/dist_train.sh configs/upernet_mini_swin_t_ade20k.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/mini_swin.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2204.07154, weights of Mini-Swin-T, at the schedule of '
    'Swin-T')
model = dict(backbone=dict(_base_.mini_swin, _delete_=True))
