_base_ = './schedule_160k_v2.py'

# 40k iterations at batch 64 (16 GPUs x 4 images), all layers at one rate.
train_cfg = dict(max_iters=40000, val_interval=4000)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=375),
    dict(_base_.param_scheduler[1], end=40000)
]
optim_wrapper = dict(
    optimizer=dict(lr=6e-5), paramwise_cfg=dict(layer_decay_rate=1.0))
auto_scale_lr = dict(base_batch_size=64)
