_base_ = './schedule_quick.py'

# Long enough to learn a handful of photographs by heart.
max_iters = 200
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=20),
    dict(
        _base_.param_scheduler[1],
        begin=20,
        end=max_iters,
        T_max=max_iters - 20)
]
