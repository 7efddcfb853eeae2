# tools/dist_train.sh configs/htcpp_swinv2_b_coco.py 32
_base_ = [
    './_base_/models/htcpp_swin.py',
    './_base_/parts/swinv2.py',
    './_base_/parts/swinv2_large_scale.py',
    './_base_/parts/channels.py',
    './_base_/datasets/coco_htcpp_lsj_1536.py',
    './_base_/schedules/schedule_3x_v2.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='32 GPUs x 2 images',
    paper='arXiv 2111.09883, appendix; HTC++ SwinV2-B 3x, windows of 32 '
    '(docs/htcpp.md)')
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
    neck=dict(
        in_channels=_base_.channels.base,
        global_attention=dict(with_cp=True)))
