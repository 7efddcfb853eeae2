# Mask RepPoints V2 that trains an iteration in a blink, on shapes of 64
# pixels; all that is random follows from the seed.
_base_ = './tiny_mask_rcnn.py'

norm = dict(type='GN', num_groups=4)
model = dict(
    _delete_=True,
    type='RepPointsDetector',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        _base_.model.backbone,
        depths=[2, 1, 1],
        num_heads=[1, 1, 2],
        out_indices=(1, 2),
    ),
    neck=dict(
        type='swin_dense.BiFPN',
        in_channels=[16, 32],
        out_channels=16,
        num_outs=3,
        num_repeats=1,
        norm_cfg=norm,
    ),
    bbox_head=dict(
        type='swin_dense.MaskRepPointsV2Head',
        num_classes=3,
        in_channels=16,
        feat_channels=16,
        point_feat_channels=16,
        stacked_convs=1,
        corner_channels=8,
        point_strides=[8, 16, 32],
        norm_cfg=norm,
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0),
        loss_bbox_init=dict(type='swin_dense.LegacyGIoULoss'),
        loss_bbox_refine=dict(
            type='swin_dense.LegacyGIoULoss', loss_weight=2.0
        ),
        loss_heatmap=dict(type='GaussianFocalLoss', loss_weight=0.25),
        loss_offset=dict(type='SmoothL1Loss', beta=1.0 / 9.0),
        loss_sem=dict(type='swin_dense.SeparateFocalLoss', loss_weight=0.1),
        mask_channels=16,
        mask_convs=1,
    ),
    train_cfg=dict(
        init=dict(
            assigner=dict(
                type='swin_dense.CenterPointAssigner', scale=4, pos_num=1
            )
        ),
        refine=dict(
            assigner=dict(type='swin_dense.CenterATSSAssigner', topk=9)
        ),
    ),
    # Boxes of a model that has learned nothing yet have scores of 0.01.
    test_cfg=dict(
        nms_pre=50,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=10,
        mask_thr_binary=0.5,
    ),
)
