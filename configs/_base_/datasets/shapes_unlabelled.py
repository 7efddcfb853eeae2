# 2000 generated images of shapes without labels, written to data/shapes if
# absent. None is in the training or validation set of the quick starts.
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='swin_dense.ShapesFolderDataset',
        data_root='data/shapes/',
        data_prefix=dict(img='unlabeled2017/'),
        generate=dict(num_images=2000, image_size=256, seed=0)))
