# tools/dist_train.sh configs/mask_rcnn_swin_t_coco_1x.py 8
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/datasets/coco_instance.py',
    './_base_/schedules/schedule_1x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 43.7, mask AP 39.8',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; Mask R-CNN Swin-T 1x of its released models')
model = dict(backbone=dict(drop_path_rate=0.1))
