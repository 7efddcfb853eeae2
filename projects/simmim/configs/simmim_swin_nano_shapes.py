# python tools/train.py projects/simmim/configs/simmim_swin_nano_shapes.py
# A small model on generated images, trained in minutes.
_base_ = [
    './_base_/simmim.py',
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
    encoder=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
        img_size=128, window_size=8))

# Images of half the size, as in mask_rcnn_swin_nano_shapes_50; 39 of 64 cells
# are masked.
crop, flip, mask, pack = _base_.train_pipeline
train_pipeline = [
    dict(crop, size=128), flip,
    dict(mask, img_size=128, cell_size=16), pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_iters = 900
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up, dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters)
