# A Cascade Mask R-CNN small enough to train in minutes on CPU cores.
_base_ = ['./cascade_mask_rcnn_swin_fpn.py', '../parts/nano.py']

nano = _base_.nano
model = dict(
    nano,
    roi_head=dict(
        nano.roi_head,
        bbox_head=[
            dict(head, **_base_.cascade_box_head)
            for head in _base_.model.roi_head.bbox_head
        ]),
    train_cfg=dict(
        nano.train_cfg,
        rcnn=[
            dict(stage, sampler=_base_.cascade_sampler)
            for stage in _base_.model.train_cfg.rcnn
        ]))
