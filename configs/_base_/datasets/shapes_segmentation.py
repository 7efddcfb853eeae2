# Generated shapes in ADE20K's layout, written to data/shapes_ade if absent.
# Value 0 of the label maps is the class background.
_base_ = './ade20k.py'
data_root = 'data/shapes_ade/'
# Half the size of the images is enough: shapes are larger than patches.
scale = (128, 128)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical']),
    dict(type='PackSegInputs')
]
load, resize, *rest = _base_.test_pipeline
test_pipeline = [load, dict(resize, scale=scale), *rest]

# Classes differ in hue and outline. Outlines only would take longer to learn.
scene = dict(image_size=256, hues=True, seed=0)
dataset = dict(type='swin_dense.ShapesSegDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    dataset=dict(
        dataset,
        generate=dict(num_images=1000, **scene),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        dataset,
        generate=dict(num_images=100, **scene),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
