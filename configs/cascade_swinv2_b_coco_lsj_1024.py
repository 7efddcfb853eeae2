# tools/dist_train.sh configs/cascade_swinv2_b_coco_lsj_1024.py 8
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_fpn.py',
    './_base_/parts/swinv2.py',
    './_base_/parts/swinv2_large_scale.py',
    './_base_/parts/channels.py',
    './_base_/datasets/coco_instance_lsj_1024.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883; Cascade Mask R-CNN SwinV2-B, windows of 32, '
    'jittered scale')
model = dict(
    backbone=dict(
        _base_.swinv2,
        **_base_.large_scale,
        _delete_=True,
        arch='base',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_base_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=_base_.channels.base))
