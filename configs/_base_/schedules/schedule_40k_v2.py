_base_ = ['./schedule_160k.py', '../parts/swinv2_decay.py']

# 40k iterations for Swin V2 at batch 64 (16 GPUs x 4 images), with the same
# learning rate in all layers.
train_cfg = dict(max_iters=40000, val_interval=4000)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=375),
    dict(_base_.param_scheduler[1], end=40000)
]
optim_wrapper = dict(
    constructor='swin_dense.LayerDecayConstructor',
    optimizer=dict(lr=6e-5, weight_decay=0.05),
    paramwise_cfg=dict(
        _base_.swinv2_decay, _delete_=True, layer_decay_rate=1.0))
auto_scale_lr = dict(base_batch_size=64)
