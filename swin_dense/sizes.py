"""Sizes of the published members of the family: data only, no imports.

Keys: `embed_dims`, channels of the first stage; `depths`, blocks of each
stage; `num_heads`, attention heads of each stage; for some sizes
`extra_norm_every_n_blocks`, the blocks from one extra norm to the next, and
`window_size`, the window that the weights are for.
"""

# Swin V1 paper, table 7; Video Swin has the same sizes.
SWIN: dict[str, dict] = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    'small': dict(
        embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)
    ),
    'base': dict(
        embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)
    ),
    'large': dict(
        embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)
    ),
}

# Swin V2 paper, section 3.5. It does not give the heads of the two largest.
SWIN_V2: dict[str, dict] = {
    **SWIN,
    'huge': dict(
        embed_dims=352,
        depths=(2, 2, 18, 2),
        num_heads=(8, 16, 32, 64),
        extra_norm_every_n_blocks=6,
    ),
    'giant': dict(
        embed_dims=512,
        depths=(2, 2, 42, 4),
        num_heads=(16, 32, 64, 128),
        extra_norm_every_n_blocks=6,
    ),
    # The "giant" of the official model hub, 1.06 billion parameters: smaller
    # than the giant of the paper. Its number of heads was not published: with
    # these, a head has 32 channels, as in most sizes.
    'giant_hub': dict(
        embed_dims=448, depths=(2, 2, 18, 2), num_heads=(14, 28, 56, 112)
    ),
}

# Mini-Swin (MiniViT paper): `blocks`, the blocks of each stage that have
# weights; each is run `depths / blocks` times.
MINI_SWIN: dict[str, dict] = {
    'tiny': dict(SWIN['tiny'], blocks=(1, 1, 1, 1)),
    'small': dict(SWIN['small'], blocks=(1, 1, 9, 1)),
    'base': dict(SWIN['base'], blocks=(1, 1, 9, 1)),
}

# Swin-MLP, official configs: three sizes of heads at the size of Swin-T. The
# weights are for one window: 8 where none is given here.
SWIN_MLP: dict[str, dict] = {
    'tiny_c24': dict(
        embed_dims=96, depths=(2, 2, 6, 2), num_heads=(4, 8, 16, 32)
    ),
    'tiny_c12': dict(
        embed_dims=96, depths=(2, 2, 6, 2), num_heads=(8, 16, 32, 64)
    ),
    'tiny_c6': dict(
        embed_dims=96, depths=(2, 2, 6, 2), num_heads=(16, 32, 64, 128)
    ),
    'base': dict(
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=7,
    ),
}

# Swin-MoE, official configs. Models of one size differ in the number of
# experts, which is an argument of the class.
SWIN_MOE: dict[str, dict] = {'small': SWIN['small'], 'base': SWIN['base']}
