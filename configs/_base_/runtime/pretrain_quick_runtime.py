_base_ = './pretrain_runtime.py'

# Runs are counted in iterations.
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=1000))
log_processor = dict(by_epoch=False)
