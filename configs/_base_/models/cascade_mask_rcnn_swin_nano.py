# A Cascade Mask R-CNN small enough to train in minutes on CPU cores.
_base_ = ['./cascade_mask_rcnn_swin_fpn.py', './nano.py']

nano = _base_.nano
head = dict(
    num_shared_convs=0, num_shared_fcs=2, in_channels=64, fc_out_channels=128,
    num_classes=3, norm_cfg=None, reg_class_agnostic=True)
sampler = dict(
    type='RandomSampler', num=32, pos_fraction=0.25, neg_pos_ub=-1,
    add_gt_as_proposals=True)
model = dict(
    nano,
    roi_head=dict(
        nano.roi_head,
        bbox_head=[
            dict(stage, **head) for stage in _base_.model.roi_head.bbox_head
        ]),
    train_cfg=dict(
        nano.train_cfg,
        rcnn=[
            dict(stage, sampler=sampler)
            for stage in _base_.model.train_cfg.rcnn
        ]))
