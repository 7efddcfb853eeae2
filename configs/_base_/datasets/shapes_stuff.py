# Generated shapes on backgrounds of four textures, with label maps of shapes
# and textures, written to data/shapes_stuff if absent.
_base_ = './shapes_instance.py'
data_root = 'data/shapes_stuff/'

load, annotations, *rest = _base_.train_pipeline
train_pipeline = [
    load,
    dict(annotations, with_seg=True),
    # Off: it lowers the AP in a training of five epochs.
    dict(type='swin_dense.InstanceJitter', prob=0.), *rest
]
textures = dict(textures=['clouds', 'sand', 'waves', 'bricks'])
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        data_prefix=dict(seg='stuffthingmaps/train2017/'),
        num_stuff_classes=7,
        generate=textures,
        pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, generate=textures))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
