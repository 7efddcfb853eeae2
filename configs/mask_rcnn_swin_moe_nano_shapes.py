# tools/dist_train.sh configs/mask_rcnn_swin_moe_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/mask_rcnn_swin_nano.py',
    './_base_/parts/nano_192.py',
    './_base_/parts/swin_moe.py',
    './_base_/datasets/shapes_instance_192.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.432, mask AP 0.450 on generated shapes',
    hardware='2 CPU cores, minutes',
    paper=None)
small = _base_.nano_192
model = dict(
    small,
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinMoE',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        num_experts=4,
        window_size=8,
        drop_path_rate=0.,
        out_indices=(0, 1, 2),
        # Larger weights for the narrow layers, in experts too.
        moe_drop=0.,
        init_std=0.05,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')),
    roi_head=dict(small.roi_head, bbox_head=dict(in_channels=48)))
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=_base_.swin_moe_decay))

# Smaller images and maps leave time for more steps.
max_iters = 1800
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    warm_up,
    dict(cosine, end=max_iters, T_max=max_iters - 100)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
