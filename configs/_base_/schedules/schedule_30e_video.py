# 30 epochs of AdamW at batch 64 (8 GPUs x 8 clips), mixed precision. The learning
# rate follows one cosine, multiplied by a warm-up of 2.5 epochs.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=30, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=2.5,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=30,
        T_max=30,
        eta_min=0)
]

# The learning rate is that of the head; the backbone has a tenth of it. A
# parameter gets the factors of all key words in its name.
# A machine without CUDA trains in float32 instead, and the log says so.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=0.02),
    constructor='SwinOptimWrapperConstructor',
    paramwise_cfg=dict(
        absolute_pos_embed=dict(decay_mult=0.),
        relative_position_bias_table=dict(decay_mult=0.),
        norm=dict(decay_mult=0.),
        backbone=dict(lr_mult=0.1)))

# `--auto-scale-lr` scales the learning rate by batch / base_batch_size.
auto_scale_lr = dict(enable=False, base_batch_size=64)
