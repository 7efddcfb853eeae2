# The backbone of all Swin-MLP recipes, a Swin-MLP-T/C24 with windows of 8.
swin_mlp = dict(
    type='swin_dense.SwinMLP',
    arch='tiny_c24',
    window_size=8,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.2,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/'
        'download/v1.0.5/swin_mlp_tiny_c24_patch4_window8_256.pth'))
