_base_ = './default_runtime.py'

default_scope = 'mmseg'
# Runs are counted in iterations.
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=4000, save_best='mIoU'),
    visualization=dict(type='SegVisualizationHook'))
visualizer = dict(type='SegLocalVisualizer')
log_processor = dict(by_epoch=False)
# All crops have the same size.
env_cfg = dict(cudnn_benchmark=True)
