# Windows of 32 with the weights of ImageNet-22K, where maps of the last stage
# had 6 x 6 tokens; with what saves memory. Settings of a backbone, no model.
large_scale = dict(
    window_size=32,
    pretrained_window_sizes=[12, 12, 12, 6],
    drop_path_rate=0.3,
    with_cp=True,
    sequential_attention=True)
