# python tools/train.py projects/moby/configs/moby_swin_nano_shapes.py
# A small model on generated images, trained in minutes.
_base_ = [
    './_base_/moby.py',
    '../../../configs/_base_/datasets/shapes_unlabelled.py',
    '../../../configs/_base_/schedules/schedule_pretrain_quick.py',
    '../../../configs/_base_/runtime/pretrain_quick_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
# The backbone of the quick starts.
model = dict(
    queue_size=1024,
    hidden_channels=256,
    channels=64,
    encoder=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
        img_size=64, window_size=8, drop_path_rate=0.1))

# Shapes of about half their size, as in mask_rcnn_swin_nano_shapes_50.
_, *first = _base_.first_view
_, *second = _base_.second_view
crop = dict(_base_.crop, size=64, scale=(0.2, 0.6))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='TwoViews', first=[crop, *first], second=[crop, *second])
        ]))

max_iters = 1200
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up, dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters)
