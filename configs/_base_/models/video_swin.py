# Video Swin-T for the 400 classes of Kinetics-400, from weights for images.
model = dict(
    type='swin_dense.ClipRecognizer',
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW'),
    backbone=dict(
        type='swin_dense.SwinTransformer3D',
        arch='tiny',
        patch_size=(2, 4, 4),
        window_size=(8, 7, 7),
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_tiny_patch4_window7_224.pth')),
    cls_head=dict(
        type='I3DHead',
        in_channels=768,
        num_classes=400,
        dropout_ratio=0.5,
        average_clips='prob'),
    # Number of views that a test processes at a time; limits its memory.
    test_cfg=dict(max_testing_views=4))
