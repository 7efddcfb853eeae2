_base_ = './schedule_1x.py'

# 36 epochs for Swin V2 at batch 64 (32 GPUs x 2 images). The backbone has a tenth
# of the learning rate.
train_cfg = dict(max_epochs=36)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=36, milestones=[27, 33])
]
optim_wrapper = dict(
    constructor='swin_dense.LayerDecayConstructor',
    optimizer=dict(lr=4e-4),
    paramwise_cfg=dict(layer_decay_rate=1.0, backbone_lr_mult=0.1))
auto_scale_lr = dict(base_batch_size=64)
