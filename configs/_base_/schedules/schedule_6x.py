_base_ = './schedule_1x.py'

train_cfg = dict(max_epochs=72)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=72, milestones=[63, 69])
]
