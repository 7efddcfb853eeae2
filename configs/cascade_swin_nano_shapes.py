# python tools/train.py configs/cascade_swin_nano_shapes.py
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_fpn.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]
nano = dict(
    num_shared_convs=0,
    num_shared_fcs=2,
    in_channels=64,
    fc_out_channels=128,
    num_classes=3,
    norm_cfg=None)
sampler = dict(
    type='RandomSampler',
    num=64,
    pos_fraction=0.5,
    neg_pos_ub=-1,
    add_gt_as_proposals=True)
model = dict(
    backbone=dict(
        arch=None,
        embed_dims=32,
        depths=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        window_size=8,
        drop_path_rate=0.,
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(strides=[4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        mask_roi_extractor=dict(out_channels=64),
        bbox_head=[
            dict(head, **nano) for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(
            num_convs=2, in_channels=64, conv_out_channels=64, num_classes=3)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=[
            dict(stage, sampler=sampler)
            for stage in _base_.model.train_cfg.rcnn
        ]),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)))
