# Settings of the detectors that train in minutes on CPU cores.
proposals = dict(nms_pre=500, max_per_img=200)
nano = dict(
    backbone=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
        window_size=8, drop_path_rate=0., out_indices=(0, 1, 2),
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128], out_channels=64, num_outs=3),
    rpn_head=dict(
        in_channels=64, feat_channels=64,
        anchor_generator=dict(scales=[8], strides=[4, 8, 16])),
    # Shapes are small, so all use the finest level.
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=3), out_channels=64,
            featmap_strides=[4]),
        mask_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=2), out_channels=64,
            featmap_strides=[4]),
        mask_head=dict(
            num_convs=2, in_channels=64, conv_out_channels=32, num_classes=3,
            class_agnostic=True)),
    train_cfg=dict(rpn=dict(sampler=dict(num=64)), rpn_proposal=proposals),
    test_cfg=dict(rpn=proposals, rcnn=dict(max_per_img=20)))
# For each stage of a cascade.
cascade_box_head = dict(
    num_shared_convs=0, num_shared_fcs=2, in_channels=64, fc_out_channels=128,
    num_classes=3, norm_cfg=None, reg_class_agnostic=True)
cascade_sampler = dict(
    type='RandomSampler', num=32, pos_fraction=0.25, neg_pos_ub=-1,
    add_gt_as_proposals=True)
# For RepPoints V2, with masks or without. Objects of 30 to 100 pixels are told
# apart on a coarse map, where the step takes two thirds of the time.
group_norm = dict(type='GN', num_groups=8)
points_nano = dict(
    neck=dict(
        in_channels=[128], out_channels=64, num_outs=2, num_repeats=1,
        norm_cfg=group_norm),
    bbox_head=dict(
        num_classes=3, in_channels=64, feat_channels=64,
        point_feat_channels=64, stacked_convs=2, corner_channels=32,
        point_strides=[16, 32], loss_cls=dict(beta=1.0),
        norm_cfg=group_norm))
