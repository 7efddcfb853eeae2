_base_ = ['./htcpp_swin.py', './swinv2.py', './swinv2_large_scale.py']

model = dict(
    backbone=dict(_delete_=True, **{
        **_base_.swinv2,
        **_base_.large_scale
    }),
    neck=dict(global_attention=dict(with_cp=True)))
