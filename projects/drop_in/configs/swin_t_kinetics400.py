_base_ = 'mmaction::recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py'  # noqa: E501

model = dict(backbone=dict(type='swin_dense.SwinTransformer3D'))
