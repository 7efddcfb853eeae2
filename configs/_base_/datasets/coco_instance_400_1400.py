# COCO 2017 with boxes and masks, at short sides of 400 to 1400 pixels.
_base_ = './coco_instance.py'

train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(
        type='RandomResize',
        scale=[(1600, 400), (1600, 1400)],
        keep_ratio=True),
    dict(type='PackDetInputs')
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(1600, 1400), keep_ratio=True),
    *_base_.test_pipeline[2:]
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
