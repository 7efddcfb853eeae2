# Video Swin-B from weights of ImageNet-22K.
_base_ = ['./video_swin.py', '../parts/channels.py']

model = dict(
    backbone=dict(
        arch='base',
        drop_path_rate=0.2,
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224_22k.pth')),
    cls_head=dict(in_channels=_base_.channels.base[-1]),
    test_cfg=dict(max_testing_views=2))
