_base_ = 'mmseg::knet/knet-s3_swin-t_upernet_8xb2-adamw-80k_ade20k-512x512.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
