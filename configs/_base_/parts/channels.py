# Channels of the four outputs of a Swin backbone by its `arch`, for necks and
# heads. A test compares them with swin_dense/sizes.py.
channels = dict(
    tiny=[96, 192, 384, 768],
    small=[96, 192, 384, 768],
    base=[128, 256, 512, 1024],
    large=[192, 384, 768, 1536])
