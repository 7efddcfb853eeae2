# A detector that trains an iteration in a blink, on shapes of 64 pixels. Its
# samplers take all there is, so that nothing but the seed is random.
_base_ = [
    '../../configs/_base_/models/mask_rcnn_swin_fpn.py',
    '../../configs/_base_/datasets/shapes_instance.py',
    '../../configs/_base_/schedules/schedule_quick.py',
    '../../configs/_base_/runtime/quick_runtime.py',
]
model = dict(
    backbone=dict(
        arch=None,
        embed_dims=8,
        depths=[2, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8, num_outs=4),
    rpn_head=dict(
        in_channels=8,
        feat_channels=8,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16, num_classes=3),
        mask_roi_extractor=dict(out_channels=8),
        mask_head=dict(
            num_convs=1, in_channels=8, conv_out_channels=8, num_classes=3
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=100000)),
        rpn_proposal=dict(nms_pre=50, max_per_img=20),
        rcnn=dict(sampler=dict(num=100000)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=50, max_per_img=20), rcnn=dict(max_per_img=10)
    ),
)

pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False),
    dataset=dict(
        pipeline=pipeline, generate=dict(num_images=6, image_size=64)
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(generate=dict(num_images=4, image_size=64)),
)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=2, val_interval=100)
param_scheduler = None
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=0.01, weight_decay=1e-4)
)
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=-1)
)
auto_scale_lr = dict(base_batch_size=4)
