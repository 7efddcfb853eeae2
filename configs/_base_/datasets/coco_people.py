# A handful of photographs of people. A model learns them by heart, to test the
# whole path.
_base_ = './coco_instance.py'
data_root = 'data/coco_people/'

photographs = dict(
    data_root=data_root,
    ann_file='instances.json',
    data_prefix=dict(img='images/'))
resize = dict(type='Resize', scale=(576, 384), keep_ratio=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True), resize,
    dict(type='PackDetInputs')
]
test_pipeline = [_base_.test_pipeline[0], resize, *_base_.test_pipeline[2:]]
train_dataloader = dict(
    num_workers=1,
    sampler=dict(_delete_=True, type='InfiniteSampler'),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline, **photographs))
val_dataloader = dict(
    num_workers=1, dataset=dict(pipeline=test_pipeline, **photographs))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'instances.json')
test_evaluator = val_evaluator
