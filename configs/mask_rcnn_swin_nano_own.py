# python tools/train.py configs/mask_rcnn_swin_nano_own.py
# A small Mask R-CNN for your own COCO files, to try them on CPU cores. To be
# inherited, or named with --data (docs/own_data.md).
_base_ = [
    './_base_/models/mask_rcnn_swin_nano_photographs.py',
    './_base_/datasets/own_instance.py',
    './_base_/schedules/schedule_own.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
default_hooks = dict(
    checkpoint=dict(
        interval=_base_.train_cfg.val_interval, max_keep_ckpts=2,
        save_best='coco/bbox_mAP'))
