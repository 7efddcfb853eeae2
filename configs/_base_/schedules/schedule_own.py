# For small models on your own data: longer, and validated ten times.
_base_ = './schedule_quick.py'

max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 10)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=100),
    dict(cosine, begin=100, end=max_iters, T_max=max_iters - 100)
]
