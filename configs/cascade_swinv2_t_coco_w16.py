# tools/dist_train.sh configs/cascade_swinv2_t_coco_w16.py 8
# COCO val2017, published with weights of windows of 8: box AP 51.1;
# not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2111.09883; Cascade Mask R-CNN SwinV2-T, windows of 16, at the schedule of Swin V1
_base_ = [
    './_base_/models/cascade_mask_rcnn_swinv2_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        window_size=16,
        # Maps of the last stage were 8 x 8 in pre-training.
        pretrained_window_sizes=[16, 16, 16, 8],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_tiny_patch4_window16_256.pth')))
