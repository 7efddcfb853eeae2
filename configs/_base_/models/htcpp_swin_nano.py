# HTC++ small enough to train in minutes on CPU cores.
_base_ = ['./htcpp_swin.py', '../parts/nano.py']

nano = _base_.nano
# Features pass from one mask head to the next, so all have the same width.
masks = dict(nano.roi_head.mask_head, conv_out_channels=64)
model = dict(
    nano,
    roi_head=dict(
        nano.roi_head,
        bbox_head=[
            dict(head, **_base_.cascade_box_head)
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=[
            dict(head, **masks) for head in _base_.model.roi_head.mask_head
        ],
        semantic_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=1), out_channels=64),
        # Its features are added to those of boxes and masks. Without norm, and
        # with large logits, they and its loss would dominate at first.
        semantic_head=dict(
            num_ins=3, num_convs=2, in_channels=64, conv_out_channels=64,
            num_classes=7, norm_cfg=dict(type='GN', num_groups=8),
            init_cfg=dict(
                type='Normal', std=0.01,
                override=dict(name='conv_logits')))),
    train_cfg=dict(
        nano.train_cfg,
        rcnn=[
            dict(stage, sampler=_base_.cascade_sampler)
            for stage in _base_.model.train_cfg.rcnn
        ]))
