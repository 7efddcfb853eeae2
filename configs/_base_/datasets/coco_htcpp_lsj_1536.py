# COCO 2017 for HTC++ with Swin V2: InstanceJitter, large-scale jittering on a
# square of 1536 pixels, label maps for the semantic branch. Test images have
# short sides of 1100 pixels.
_base_ = ['./coco_instance.py', '../parts/large_scale_jitter.py']

load, annotations, *rest = _base_.train_pipeline
train_pipeline = [
    load,
    dict(annotations, with_seg=True),
    dict(type='swin_dense.InstanceJitter', prob=0.5),
    rest[0], *_base_.jitter_1536, rest[-1]
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(1536, 1100), keep_ratio=True),
    *_base_.test_pipeline[2:]
]
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg='stuffthingmaps/train2017/'),
        num_stuff_classes=183,
        pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
