# tools/dist_train.sh configs/mask_rcnn_swin_moe_s_coco.py 8
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/parts/swin_moe.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2206.03382, official code of Swin-MoE-S, at the schedule of '
    'Swin-S')
model = dict(backbone=dict(_base_.swin_moe, _delete_=True))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.swin_moe_decay))
