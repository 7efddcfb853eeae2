# tools/dist_train.sh configs/cascade_swinv2_s_coco_w16.py 8
_base_ = './cascade_swinv2_t_coco_w16.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883; Cascade Mask R-CNN SwinV2-S, windows of 16, at '
    'the schedule of Swin V1')
model = dict(
    backbone=dict(
        arch='small',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_small_patch4_window16_256.pth')))
