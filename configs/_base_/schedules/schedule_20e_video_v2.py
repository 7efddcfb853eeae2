# First stage of Swin V2 on clips: 20 epochs at batch 80 (8 GPUs x 10 clips). The
# paper gives one learning rate, so the backbone has that of the head.
_base_ = './schedule_30e_video.py'

train_cfg = dict(max_epochs=20)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [warm_up, dict(cosine, end=20, T_max=20)]
optim_wrapper = dict(
    optimizer=dict(lr=3.6e-4, weight_decay=0.1),
    paramwise_cfg=dict(
        cpb_mlp=dict(decay_mult=0.),
        logit_scale=dict(decay_mult=0.),
        backbone=dict(lr_mult=1.)))
auto_scale_lr = dict(base_batch_size=80)
