# A Video Swin that trains in minutes on CPU cores.
_base_ = './video_swin.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformer3D',
        arch=dict(embed_dims=48, depths=[2, 2], num_heads=[2, 4]),
        window_size=(4, 6, 6),
        drop_path_rate=0.,
        out_indices=(1, ),
        # With the official initialisation, so short a training does not
        # converge: narrow layers need larger weights.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')),
    cls_head=dict(in_channels=96, num_classes=8, dropout_ratio=0.))
