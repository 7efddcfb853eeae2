_base_ = './upernet_swin.py'

# Windows of 16, with weights of windows of 8: the position bias is computed
# for any window from what was learned at one.
model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformerV2',
        arch='tiny',
        window_size=16,
        pretrained_window_sizes=8,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_tiny_patch4_window8_256.pth')))
