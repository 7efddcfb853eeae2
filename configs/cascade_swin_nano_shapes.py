# tools/dist_train.sh configs/cascade_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_nano.py',
    './_base_/parts/nano_192.py',
    './_base_/datasets/shapes_instance_192.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.476 to 0.515, mask AP 0.460 to 0.509 on generated '
    'shapes, three seeds',
    hardware='2 CPU cores, 4 minutes: the training of `make demo`',
    paper=None)
small = _base_.nano_192
model = dict(
    small,
    # Narrow models learn faster with larger initial weights.
    backbone=dict(
        init_cfg=dict(
            _delete_=True, type='Xavier', layer='Linear',
            distribution='normal')),
    roi_head=dict(
        small.roi_head,
        bbox_head=[
            dict(head, in_channels=48)
            for head in _base_.model.roi_head.bbox_head
        ]))

max_iters = 1100
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=50),
    dict(cosine, begin=50, end=max_iters, T_max=max_iters - 50)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
