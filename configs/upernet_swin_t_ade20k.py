# tools/dist_train.sh configs/upernet_swin_t_ade20k.py 8
# ADE20K val, published: mIoU 44.51, 45.81 with --tta; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2103.14030; UPerNet Swin-T of its released models
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]
