_base_ = 'mmdet::glip/glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
