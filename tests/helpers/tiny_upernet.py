# The ADE20K recipe with few channels and small crops, on a few small images.
_base_ = '../../configs/upernet_swin_t_ade20k.py'
model = dict(
    data_preprocessor=dict(size=(32, 32)),
    backbone=dict(
        arch=None,
        embed_dims=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    decode_head=dict(
        in_channels=[8, 16, 32, 64], channels=8, dropout_ratio=0.0
    ),
    auxiliary_head=dict(in_channels=32, channels=8, dropout_ratio=0.0),
)

scale = (128, 32)
load, annotations, resize, crop, *rest = _base_.train_pipeline
train_pipeline = [
    load,
    annotations,
    dict(resize, scale=scale),
    dict(crop, crop_size=(32, 32)),
    *rest,
]
load, resize, *rest = _base_.test_pipeline
test_pipeline = [load, dict(resize, scale=scale), *rest]
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(**workers, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**workers, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_iters=2, val_interval=2)
param_scheduler = None
optim_wrapper = dict(optimizer=dict(lr=0.01))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=-1)
)
auto_scale_lr = dict(base_batch_size=2)
