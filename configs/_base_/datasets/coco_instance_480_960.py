# COCO 2017 with boxes and masks, at short sides of 480 to 960 pixels.
_base_ = './coco_instance.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(
        type='RandomResize', scale=[(1333, 480), (1333, 960)],
        keep_ratio=True),
    _base_.train_pipeline[2],
    dict(type='PackDetInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
