# The images of ImageNet-1K without their labels, or any folder of images. A
# config gives the pipeline.
train_dataloader = dict(
    batch_size=128,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='swin_dense.ImageFolderDataset',
        data_root='data/imagenet/',
        data_prefix=dict(img='train/')))
