# Settings of a Swin V2 backbone for large images: windows of 32, from weights
# of ImageNet-22K with windows of 12 (6 in the last stage, whose maps had 6 x 6
# tokens), and options that save memory.
large_scale = dict(
    window_size=32,
    pretrained_window_sizes=[12, 12, 12, 6],
    drop_path_rate=0.3,
    with_cp=True,
    sequential_attention=True)
