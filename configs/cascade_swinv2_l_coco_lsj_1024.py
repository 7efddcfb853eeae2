# tools/dist_train.sh configs/cascade_swinv2_l_coco_lsj_1024.py 8
_base_ = './cascade_swinv2_b_coco_lsj_1024.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883; Cascade Mask R-CNN SwinV2-L, windows of 32, '
    'jittered scale')
model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_large_patch4_window12_192_22k.pth')),
    neck=dict(in_channels=_base_.channels.large))
