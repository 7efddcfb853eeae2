# MoBY with Swin-T at 224 pixels.
custom_imports = dict(imports=['projects.moby.model', 'projects.moby.views'])

model = dict(
    type='MoBY',
    data_preprocessor=dict(type='swin_dense.ImagePreprocessor'),
    encoder=dict(
        type='SwinEncoder',
        arch='tiny',
        img_size=224,
        window_size=7,
        drop_path_rate=0.2))

crop = dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.))
colours = [
    dict(type='HorizontalFlip', prob=0.5),
    dict(
        type='ColourJitter', brightness=0.4, contrast=0.4, saturation=0.2,
        hue=0.1, prob=0.8),
    dict(type='Grey', prob=0.2)
]
pack = dict(type='PackImages')
first_view = [crop, *colours, dict(type='Blur', prob=1.0), pack]
second_view = [
    crop, *colours, dict(type='Blur', prob=0.1), dict(type='Solarise', prob=0.2),
    pack
]
