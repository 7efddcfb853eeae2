# Minutes on two CPU cores: AdamW, one cosine, float32.
max_iters = 2000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(
        type='CosineAnnealingLR', by_epoch=False, begin=100, end=max_iters,
        T_max=max_iters - 100, eta_min=0)
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05,
        fused=True),
    clip_grad=dict(max_norm=5.),
    constructor='swin_dense.PretrainingConstructor',
    paramwise_cfg=dict(decays_position_bias=False))
auto_scale_lr = dict(enable=False, base_batch_size=32)
