# tools/dist_train.sh configs/video_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/video_swin.py',
    './_base_/datasets/shapes_video.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published=None,
    measured='top-1 0.995 on generated clips of 8 motions',
    hardware='2 CPU cores, 3.5 minutes beside other work',
    paper=None)
model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformer3D',
        arch=dict(embed_dims=48, depths=[2, 2], num_heads=[2, 4]),
        window_size=(4, 6, 6),
        drop_path_rate=0.,
        out_indices=(1, ),
        # With the official initialisation, so short a training does not
        # converge: narrow layers need larger weights.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')),
    cls_head=dict(in_channels=96, num_classes=8, dropout_ratio=0.))
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=50),
    dict(cosine, begin=50, end=max_iters, T_max=max_iters - 50)
]
auto_scale_lr = dict(base_batch_size=16)
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(by_epoch=False, interval=300, save_best=None))
log_processor = dict(by_epoch=False)
