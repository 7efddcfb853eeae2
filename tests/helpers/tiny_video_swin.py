# The Kinetics recipe with few channels, on small clips of two classes.
_base_ = '../../configs/video_swin_t_k400.py'
data_root = 'data/'
side = 32
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=8,
            depths=(1, 1, 1, 1),
            num_heads=(1, 1, 2, 2),
        ),
        window_size=(2, 4, 4),
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    cls_head=dict(in_channels=64, num_classes=2, dropout_ratio=0.0),
)

load, sample, decode, resize, crop, square, _, *pack = _base_.train_pipeline
sample = dict(sample, clip_len=4)
resize = dict(type='Resize', scale=(-1, side))
train_pipeline = [
    load,
    sample,
    decode,
    resize,
    crop,
    dict(square, scale=(side, side)),
    *pack,
]
sample = dict(sample, test_mode=True)
val_pipeline = [
    load,
    sample,
    decode,
    resize,
    dict(type='CenterCrop', crop_size=side),
    *pack,
]
test_pipeline = [
    load,
    dict(sample, num_clips=2),
    decode,
    resize,
    dict(type='swin_dense.EvenCrops', crop_size=side, count=3),
    *pack,
]
workers = dict(num_workers=0, persistent_workers=False)
data = dict(
    num_classes=None,
    metainfo=dict(classes=('right', 'left')),
    data_prefix=dict(video=data_root),
)
val = dict(data, ann_file=data_root + 'val.txt')
train_dataloader = dict(
    **workers,
    batch_size=2,
    dataset=dict(
        data, ann_file=data_root + 'train.txt', pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    **workers, batch_size=2, dataset=dict(val, pipeline=val_pipeline)
)
test_dataloader = dict(**workers, dataset=dict(val, pipeline=test_pipeline))

train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = None
default_hooks = dict(logger=dict(interval=1))
auto_scale_lr = dict(base_batch_size=2)
