# 60 epochs for Something-Something.
_base_ = './schedule_30e_video.py'

train_cfg = dict(max_epochs=60)
warm_up, cosine = _base_.param_scheduler
param_scheduler = [warm_up, dict(cosine, end=60, T_max=60)]
