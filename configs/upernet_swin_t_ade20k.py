# tools/dist_train.sh configs/upernet_swin_t_ade20k.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published='mIoU 44.51, 45.81 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; UPerNet Swin-T of its released models')
