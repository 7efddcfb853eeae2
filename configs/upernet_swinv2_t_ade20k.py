# tools/dist_train.sh configs/upernet_swinv2_t_ade20k.py 8
# ADE20K val, published: mIoU 47.0; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883, appendix, ablation: UPerNet SwinV2-T
_base_ = [
    './_base_/models/upernet_swinv2.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k_v2.py',
    './_base_/runtime/seg_runtime.py',
]
