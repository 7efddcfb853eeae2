_base_ = './ade20k.py'

# Crops of 640 pixels, and images enlarged in proportion.
crop_size = (640, 640)
scale = (2560, 640)
load, annotations, resize, crop, *rest = _base_.train_pipeline
train_pipeline = [
    load, annotations,
    dict(resize, scale=scale),
    dict(crop, crop_size=crop_size), *rest
]
load, resize, *rest = _base_.test_pipeline
test_pipeline = [load, dict(resize, scale=scale), *rest]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
