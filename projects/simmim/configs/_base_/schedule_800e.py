# 800 epochs at batch 2048 (16 GPUs x 128 images). Learning rates are those of
# batch 512, times 4.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=800)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.005, begin=0, end=10, by_epoch=True,
        convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[700], gamma=0.1, by_epoch=True)
]

# A machine without CUDA trains in float32 instead, and the log says so.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW', lr=4e-4, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=0.05),
    clip_grad=dict(max_norm=5.),
    constructor='swin_dense.PretrainingConstructor',
    # As published, see the README; False exempts position biases.
    paramwise_cfg=dict(decays_position_bias=True))
auto_scale_lr = dict(enable=False, base_batch_size=2048)
