_base_ = ['./mask_rcnn_swin_fpn.py', './swinv2.py']

model = dict(backbone=dict(_delete_=True, **_base_.swinv2))
