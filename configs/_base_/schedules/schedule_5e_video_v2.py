# Second stage of Swin V2 on clips: 5 epochs at batch 64 (8 GPUs x 8 clips).
_base_ = './schedule_30e_video.py'

train_cfg = dict(max_epochs=5, val_interval=1)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [dict(warm_up, end=1), dict(cosine, end=5, T_max=5)]
optim_wrapper = dict(
    optimizer=dict(lr=5e-5, weight_decay=0.1),
    paramwise_cfg=dict(
        cpb_mlp=dict(decay_mult=0.),
        logit_scale=dict(decay_mult=0.),
        backbone=dict(lr_mult=1.)))
