# RepPoints V2: Swin-T without its finest map, BiFPN, boxes.
norm = dict(type='GN', num_groups=32, requires_grad=True)
model = dict(
    type='RepPointsDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='swin_dense.SwinTransformer',
        arch='tiny',
        window_size=7,
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_tiny_patch4_window7_224.pth')),
    neck=dict(
        type='swin_dense.BiFPN',
        in_channels=[192, 384, 768],
        out_channels=256,
        num_outs=5,
        num_repeats=2,
        norm_cfg=norm),
    bbox_head=dict(
        type='swin_dense.RepPointsV2Head',
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        point_feat_channels=256,
        stacked_convs=3,
        num_shared_convs=1,
        corner_channels=64,
        num_points=9,
        gradient_mul=0.1,
        point_strides=[8, 16, 32, 64, 128],
        point_base_scale=4,
        norm_cfg=norm,
        loss_cls=dict(
            type='QualityFocalLoss',
            use_sigmoid=True,
            beta=2.0,
            loss_weight=1.0),
        loss_bbox_init=dict(type='swin_dense.LegacyGIoULoss', loss_weight=1.0),
        loss_bbox_refine=dict(
            type='swin_dense.LegacyGIoULoss', loss_weight=2.0),
        loss_heatmap=dict(
            type='GaussianFocalLoss', alpha=2.0, gamma=4.0, loss_weight=0.25),
        loss_offset=dict(type='SmoothL1Loss', beta=1.0 / 9.0, loss_weight=1.0),
        loss_sem=dict(
            type='swin_dense.SeparateFocalLoss',
            gamma=2.0,
            alpha=0.25,
            loss_weight=0.1)),
    train_cfg=dict(
        init=dict(assigner=dict(type='PointAssigner', scale=4, pos_num=1)),
        refine=dict(assigner=dict(type='ATSSAssigner', topk=9))),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.6),
        max_per_img=100))
