_base_ = './default_runtime.py'

default_scope = 'mmaction'
default_hooks = dict(
    checkpoint=dict(save_best='acc/top1'),
    visualization=dict(type='VisualizationHook'))
visualizer = dict(type='ActionVisualizer')
