# The backbone of all Swin V2 recipes, a Swin V2-T with windows of 8.
swinv2 = dict(
    type='swin_dense.SwinTransformerV2',
    arch='tiny',
    window_size=8,
    pretrained_window_sizes=8,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.2,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/'
        'download/v2.0.0/swinv2_tiny_patch4_window8_256.pth'))
