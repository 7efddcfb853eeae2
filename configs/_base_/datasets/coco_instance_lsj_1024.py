# COCO 2017 with jittered scale on a square of 1024 pixels.
_base_ = './coco_instance.py'

side = 1024
train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(
        type='RandomResize',
        scale=(side, side),
        ratio_range=(0.1, 2.0),
        keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=(side, side),
        recompute_bbox=True,
        allow_negative_crop=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='Pad', size=(side, side)),
    dict(type='PackDetInputs')
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(side, side), keep_ratio=True),
    *_base_.test_pipeline[2:]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
