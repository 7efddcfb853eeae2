_base_ = './schedule_3x.py'

# Swin V2 at a batch of 64 (32 GPUs x 2 images): the backbone learns at a tenth
# of the rate of what is new.
optim_wrapper = dict(
    constructor='swin_dense.LayerDecayConstructor',
    optimizer=dict(lr=4e-4),
    paramwise_cfg=dict(layer_decay_rate=1.0, backbone_lr_mult=0.1))
auto_scale_lr = dict(base_batch_size=64)
