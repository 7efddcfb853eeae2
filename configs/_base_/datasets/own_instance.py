# Your own COCO files, for a small model: images of about 512 x 384 pixels.
_base_ = './coco_instance.py'
data_root = 'data/own/'
scale = (512, 384)

load, annotations, flip, *_, pack = _base_.train_pipeline
train_pipeline = [
    load, annotations,
    dict(
        type='RandomResize',
        scale=scale,
        ratio_range=(0.75, 1.25),
        keep_ratio=True), flip, pack
]
load, resize, *rest = _base_.test_pipeline
test_pipeline = [load, dict(resize, scale=scale), *rest]

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(img='images/'),
        filter_cfg=None,
        pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        ann_file='val.json',
        data_prefix=dict(img='images/'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
