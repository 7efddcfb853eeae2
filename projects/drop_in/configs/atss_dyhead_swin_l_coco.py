_base_ = 'mmdet::dyhead/atss_swin-l-p4-w12_fpn_dyhead_ms-2x_coco.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
