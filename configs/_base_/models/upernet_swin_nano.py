# A UPerNet that trains in minutes on CPU cores.
_base_ = './upernet_swin.py'

# Group norm does not depend on the number of images per process.
head = dict(
    channels=32, num_classes=4, dropout_ratio=0.,
    norm_cfg=dict(type='GN', num_groups=8))
model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
        window_size=8, drop_path_rate=0., out_indices=(0, 1, 2),
        # Narrow models learn faster with larger initial weights.
        init_cfg=dict(
            _delete_=True, type='Xavier', layer='Linear',
            distribution='normal')),
    decode_head=dict(
        head, in_channels=[32, 64, 128], in_index=[0, 1, 2]),
    auxiliary_head=dict(head, channels=32, in_channels=128))
