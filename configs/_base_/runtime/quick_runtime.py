_base_ = './default_runtime.py'

# Runs are counted in iterations, and save only the last checkpoint.
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(by_epoch=False, interval=1000, save_best=None))
log_processor = dict(by_epoch=False)
