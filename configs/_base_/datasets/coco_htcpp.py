# COCO 2017 for HTC++: InstanceJitter, short sides of 400 to 1400 pixels, and
# label maps of stuff and things for the semantic branch. Without the label maps
# (stuffthingmaps_trainval2017.zip), set data_prefix.seg to None and remove the
# semantic branch.
_base_ = './coco_instance.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
    dict(type='swin_dense.InstanceJitter', prob=0.5),
    dict(
        type='RandomResize',
        scale=[(1600, 400), (1600, 1400)],
        keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(1600, 1400), keep_ratio=True),
    *_base_.test_pipeline[2:]
]
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg='stuffthingmaps/train2017/'),
        num_stuff_classes=183,
        pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# The paper does not state the scales of its multi-scale test. These are those of
# the HTC++ in BEiT's repository: small boxes are only kept at large scales.
tta = dict(
    scales=[(3000, side) for side in (600, 800, 1000, 1200, 1400, 1600)],
    sizes=['l', 'l', 'ml', 'sm', 'sm', 'sm'])
