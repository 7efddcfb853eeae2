_base_ = './schedule_1x.py'

train_cfg = dict(max_epochs=20)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=20, milestones=[16, 19])
]
