# python tools/train.py configs/upernet_swin_nano_aerial.py
# A small UPerNet that learns an aerial image by heart: a test of the whole path
# on real label maps.
_base_ = './upernet_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured='pixel accuracy 0.966 on the image it was trained on',
    hardware='2 CPU cores, below 2 minutes',
    paper=None)
data_root = 'data/aerial/'
# Value 0 of the label maps marks borders between regions and is ignored.
classes = ['road', 'building', 'low vegetation', 'tree', 'car']
# Half the original size.
resize = dict(type='Resize', scale=(256, 256), keep_ratio=True)
load, annotations, *_, pack = _base_.train_pipeline
image = dict(
    _delete_=True,
    type='swin_dense.CheckedSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    img_suffix='.png',
    reduce_zero_label=True,
    metainfo=dict(classes=classes))
train_dataloader = dict(
    batch_size=1,
    dataset=dict(image, pipeline=[load, annotations, resize, pack]))
# Labels are loaded after resizing, so they keep their original size.
val_dataloader = dict(
    batch_size=1,
    dataset=dict(image, pipeline=[load, resize, annotations, pack]))
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    decode_head=dict(num_classes=5),
    auxiliary_head=dict(num_classes=5))
max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=30),
    dict(cosine, begin=30, end=max_iters, T_max=max_iters - 30)
]
