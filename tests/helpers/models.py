"""Backbones of few channels."""

# Swin with odd and even stages, and few channels.
NARROW = dict(embed_dims=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4))
