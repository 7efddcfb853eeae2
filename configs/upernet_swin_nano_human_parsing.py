# python tools/train.py configs/upernet_swin_nano_human_parsing.py
# A small UPerNet that learns two photographs of people by heart: a test of the
# whole path on real label maps.
_base_ = './upernet_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured='pixel accuracy 0.975 on the images it was trained on',
    hardware='2 CPU cores, below 2 minutes',
    paper=None)
data_root = 'data/human_parsing/'
classes = [
    'background', 'hat', 'hair', 'glove', 'sunglasses', 'upper clothes',
    'dress', 'coat', 'socks', 'pants', 'jumpsuit', 'scarf', 'skirt', 'face',
    'left arm', 'right arm', 'left leg', 'right leg', 'left shoe', 'right shoe'
]
load, annotations, *_, pack = _base_.train_pipeline
photographs = dict(
    _delete_=True,
    type='swin_dense.CheckedSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images', seg_map_path='labels'),
    metainfo=dict(classes=classes),
    pipeline=[load, annotations, pack])
train_dataloader = dict(batch_size=1, dataset=photographs)
val_dataloader = dict(batch_size=1, dataset=photographs)
test_dataloader = val_dataloader
model = dict(
    # Train at the size of the test, because padding would change group norms.
    data_preprocessor=dict(size=None, size_divisor=4),
    decode_head=dict(num_classes=20),
    auxiliary_head=dict(num_classes=20))
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=60),
    dict(cosine, begin=60, end=max_iters, T_max=max_iters - 60)
]
