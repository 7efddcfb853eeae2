# COCO 2017 with boxes alone, at short sides of 480 to 960 pixels.
_base_ = './coco_instance.py'

boxes = dict(type='LoadAnnotations', with_bbox=True)
train_pipeline = [
    _base_.train_pipeline[0],
    boxes,
    dict(
        type='RandomChoiceResize',
        scales=[(short_side, 1333) for short_side in range(480, 961, 32)],
        keep_ratio=True),
    _base_.train_pipeline[2],
    dict(type='PackDetInputs')
]
test_pipeline = [
    *_base_.test_pipeline[:2], boxes, *_base_.test_pipeline[3:]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
