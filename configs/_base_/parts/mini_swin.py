# The backbone of all Mini-Swin recipes, a Mini-Swin-T.
mini_swin = dict(
    type='swin_dense.MiniSwin',
    arch='tiny',
    window_size=7,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.1,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/DominickZhang/MiniViT-model-zoo/'
        'releases/download/v1.0.0/mini-swin-tiny-12m.pth'))
