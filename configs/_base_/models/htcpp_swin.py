_base_ = ['./mask_rcnn_swin_fpn.py', '../parts/cascade.py']

# HTC++ on Swin-T (docs/htcpp.md). Each ingredient is a setting that can be
# removed. The box heads are those of the cascade, but regress one box for all
# classes.
cascade = _base_.cascade
mask_head = dict(
    type='HTCMaskHead',
    num_convs=4,
    in_channels=256,
    conv_out_channels=256,
    num_classes=80,
    loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.))
model = dict(
    cascade,
    type='HybridTaskCascade',
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    backbone=dict(drop_path_rate=0.2),
    # None removes the layer of global self-attention.
    neck=dict(
        type='swin_dense.GlobalAttentionFPN',
        global_attention=dict(mlp_ratio=4.)),
    roi_head=dict(
        cascade.roi_head,
        type='swin_dense.HTCRoIHead',
        interleaved=True,
        mask_info_flow=True,
        bbox_head=[
            dict(head, reg_class_agnostic=True)
            for head in cascade.roi_head.bbox_head
        ],
        mask_head=[
            dict(mask_head, with_conv_res=False), mask_head, mask_head
        ],
        semantic_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8]),
        # None removes the semantic branch.
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=5,
            fusion_level=1,
            seg_scale_factor=1 / 8,
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=183,
            loss_seg=dict(
                type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2))),
    test_cfg=dict(
        rcnn=dict(
            score_thr=0.001,
            nms=dict(type='soft_nms', iou_threshold=0.5))))
