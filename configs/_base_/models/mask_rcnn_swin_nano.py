# A Mask R-CNN small enough to train in minutes on CPU cores.
_base_ = ['./mask_rcnn_swin_fpn.py', '../parts/nano.py']

nano = _base_.nano
model = dict(
    nano,
    roi_head=dict(
        nano.roi_head,
        bbox_head=dict(
            in_channels=64, fc_out_channels=128, num_classes=3,
            reg_class_agnostic=True)),
    train_cfg=dict(nano.train_cfg, rcnn=dict(sampler=dict(num=64))))
