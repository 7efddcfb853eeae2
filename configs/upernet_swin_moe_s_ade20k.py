# tools/dist_train.sh configs/upernet_swin_moe_s_ade20k.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/swin_moe.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2206.03382, official code of Swin-MoE-S, at the schedule of '
    'Swin-S')
model = dict(
    backbone=dict(_base_.swin_moe, _delete_=True, drop_path_rate=0.3))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.swin_moe_decay))
