_base_ = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py'  # noqa: E501

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
