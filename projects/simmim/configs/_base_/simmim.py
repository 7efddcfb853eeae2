# SimMIM with Swin-B at 192 pixels, windows of 6.
custom_imports = dict(imports=['projects.simmim.model', 'projects.simmim.mask'])

model = dict(
    type='SimMIM',
    data_preprocessor=dict(type='swin_dense.ImagePreprocessor'),
    encoder=dict(
        type='SimMIMSwinTransformer',
        arch='base',
        img_size=192,
        window_size=6,
        drop_path_rate=0.))

train_pipeline = [
    dict(
        type='RandomResizedCrop', size=192, scale=(0.67, 1.),
        ratio=(3 / 4, 4 / 3)),
    dict(type='HorizontalFlip', prob=0.5),
    dict(
        type='SimMIMMask', img_size=192, cell_size=32, patch_size=4,
        ratio=0.6),
    dict(type='PackImages', keys=['mask'])
]
