# tools/dist_train.sh configs/mask_reppoints_v2_swin_t_coco.py 8
_base_ = [
    './_base_/models/mask_reppoints_v2_swin_bifpn.py',
    './_base_/datasets/coco_instance_480_960.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 50.3, mask AP 43.6',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; Mask RepPoints V2 Swin-T 3x of its released '
    'models')
model = dict(backbone=dict(drop_path_rate=0.2))
