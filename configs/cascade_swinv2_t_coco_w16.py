# tools/dist_train.sh configs/cascade_swinv2_t_coco_w16.py 8
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_fpn.py',
    './_base_/parts/swinv2.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 51.1 with weights of windows of 8',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2111.09883; Cascade Mask R-CNN SwinV2-T, windows of 16, at '
    'the schedule of Swin V1')
model = dict(
    backbone=dict(
        _base_.swinv2,
        _delete_=True,
        window_size=16,
        # Maps of the last stage were 8 x 8 in pre-training.
        pretrained_window_sizes=[16, 16, 16, 8],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_tiny_patch4_window16_256.pth')))
