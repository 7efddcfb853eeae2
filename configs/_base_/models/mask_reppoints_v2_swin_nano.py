# Mask RepPoints V2 small enough to train in minutes on CPU cores.
_base_ = ['./mask_reppoints_v2_swin_bifpn.py', '../parts/nano.py']

model = dict(
    backbone=dict(_base_.nano.backbone, out_indices=(2, )),
    neck=_base_.points_nano.neck,
    bbox_head=dict(
        _base_.points_nano.bbox_head, mask_channels=64, mask_levels=2,
        mask_convs=1),
    test_cfg=dict(max_per_img=20))
