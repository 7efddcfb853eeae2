# python tools/train.py projects/simmim/configs/mask_rcnn_swin_nano_shapes_50.py
# The quick start of Mask R-CNN on its first 50 training images alone.
_base_ = '../../../configs/mask_rcnn_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
max_iters = 500
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up, dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
train_dataloader = dict(dataset=dict(indices=50))
