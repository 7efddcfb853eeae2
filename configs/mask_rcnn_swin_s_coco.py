# tools/dist_train.sh configs/mask_rcnn_swin_s_coco.py 8
# COCO val2017, published: box AP 48.5, mask AP 43.3; not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2103.14030; Mask R-CNN Swin-S 3x of its released models
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='small',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_small_patch4_window7_224.pth')))
