_base_ = 'mmdet::dino/dino-5scale_swin-l_8xb2-12e_coco.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
