# COCO 2017 with boxes and masks, and large-scale jittering on a square of
# 1536 pixels.
_base_ = ['./coco_instance.py', '../parts/large_scale_jitter.py']

train_pipeline = [
    *_base_.train_pipeline[:3], *_base_.jitter_1536, _base_.train_pipeline[-1]
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(1536, 1536), keep_ratio=True),
    *_base_.test_pipeline[2:]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
