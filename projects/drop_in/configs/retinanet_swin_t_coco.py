_base_ = 'mmdet::swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
