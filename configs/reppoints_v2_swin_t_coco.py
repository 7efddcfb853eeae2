# tools/dist_train.sh configs/reppoints_v2_swin_t_coco.py 8
_base_ = [
    './_base_/models/reppoints_v2_swin_bifpn.py',
    './_base_/datasets/coco_boxes_480_960.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 50.0',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; RepPoints V2 (arXiv 2007.08508) Swin-T 3x of its '
    'released models')
model = dict(backbone=dict(drop_path_rate=0.2))
