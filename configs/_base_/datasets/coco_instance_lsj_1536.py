# COCO 2017 with jittered scale on a square of 1536 pixels.
_base_ = './coco_instance_lsj_1024.py'

side = 1536
sizes = dict(scale=(side, side), crop_size=(side, side), size=(side, side))
train_pipeline = [
    dict(step, **{key: sizes[key] for key in sizes if key in step})
    for step in _base_.train_pipeline
]
test_pipeline = [
    dict(step, **{key: sizes[key] for key in sizes if key in step})
    for step in _base_.test_pipeline
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
