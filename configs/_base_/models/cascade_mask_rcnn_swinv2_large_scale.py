_base_ = ['./cascade_mask_rcnn_swinv2_fpn.py', './swinv2_large_scale.py']

model = dict(backbone=_base_.large_scale)
