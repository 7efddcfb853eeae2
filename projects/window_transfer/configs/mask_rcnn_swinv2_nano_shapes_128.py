_base_ = './mask_rcnn_swin_nano_shapes_128.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformerV2',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        window_size=4,
        drop_path_rate=0.,
        out_indices=(0, 1, 2)))
