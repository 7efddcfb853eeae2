# tools/dist_train.sh configs/upernet_swinv2_t_ade20k.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/swinv2.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k_v2.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published='mIoU 47.0',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883, appendix, ablation: UPerNet SwinV2-T')
# Windows of 16, from weights with windows of 8: Swin V2 computes its position
# bias for any window.
model = dict(
    backbone=dict(
        _base_.swinv2, _delete_=True, window_size=16, drop_path_rate=0.3))
