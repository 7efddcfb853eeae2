# HTC++ small enough to train in minutes on CPU cores.
_base_ = ['./htcpp_swin.py', './nano.py']

nano = _base_.nano
box_head = dict(
    num_shared_convs=0, num_shared_fcs=2, in_channels=64, fc_out_channels=128,
    num_classes=3, norm_cfg=None)
# Features pass from one mask head to the next, so all have one width.
masks = dict(nano.roi_head.mask_head, conv_out_channels=64)
sampler = dict(
    type='RandomSampler', num=32, pos_fraction=0.25, neg_pos_ub=-1,
    add_gt_as_proposals=True)
model = dict(
    nano,
    roi_head=dict(
        nano.roi_head,
        bbox_head=[
            dict(head, **box_head)
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=[
            dict(head, **masks) for head in _base_.model.roi_head.mask_head
        ],
        semantic_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=1), out_channels=64),
        semantic_head=dict(
            num_ins=3, num_convs=2, in_channels=64, conv_out_channels=64,
            num_classes=7)),
    train_cfg=dict(
        nano.train_cfg,
        rcnn=[
            dict(stage, sampler=sampler)
            for stage in _base_.model.train_cfg.rcnn
        ]))
