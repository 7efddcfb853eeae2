# python tools/train.py projects/simmim/configs/mask_rcnn_swin_nano_shapes_50.py
# The quick start of Mask R-CNN on its first 50 training images alone.
_base_ = '../../../configs/mask_rcnn_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured='box AP 0.124, mask AP 0.142 on generated shapes, '
    'the mean of three seeds',
    hardware='2 CPU cores, minutes',
    paper=None)
# Images and anchors of half the size take a quarter of the time.
model = dict(rpn_head=dict(anchor_generator=dict(scales=[4])))
resize = dict(type='Resize', scale=(128, 128), keep_ratio=True)
load, annotations, *rest = _base_.train_pipeline
train_pipeline = [load, annotations, resize, *rest]
load, _, *rest = _base_.test_pipeline
test_pipeline = [load, resize, *rest]
train_dataloader = dict(dataset=dict(indices=50, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 700
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up, dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
