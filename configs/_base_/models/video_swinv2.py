# Video Swin V2-T for the 400 classes of Kinetics-400, from weights for images.
# Patches have one frame, so that windows of 8 cover the 8 frames of a clip. The
# last map of 256 pixels is smaller than windows of 16: its window is 8.
_base_ = './video_swin.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformerV2_3D',
        arch='tiny',
        patch_size=(1, 4, 4),
        window_size=(8, 16, 16),
        pretrained_window_sizes=[
            (8, 16, 16), (8, 16, 16), (8, 16, 16), (8, 8, 8)
        ],
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v2.0.0/swinv2_tiny_patch4_window16_256.pth')))
