_base_ = './cascade_mask_rcnn_swinv2_fpn.py'

# Windows of 32 with the weights of ImageNet-22K, where maps of the last stage
# had 6 x 6 tokens; with what saves memory.
model = dict(
    backbone=dict(
        window_size=32,
        pretrained_window_sizes=[12, 12, 12, 6],
        drop_path_rate=0.3,
        with_cp=True,
        sequential_attention=True))
