# tools/dist_train.sh configs/htcpp_cb_swin_b_coco.py 8
_base_ = [
    './_base_/models/htcpp_swin.py',
    './_base_/parts/channels.py',
    './_base_/datasets/coco_htcpp.py',
    './_base_/schedules/schedule_20e.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 58.4, mask AP 50.7',
    measured=None,
    hardware='8 GPUs x 1 image',
    paper='arXiv 2107.00420; HTC CB-Swin-B, 20 epochs, of its released '
    'models')
swin = dict(type='swin_dense.SwinTransformer', arch='base', drop_path_rate=0.3)
model = dict(
    type='swin_dense.CompositeRCNN',
    backbone=dict(
        _delete_=True,
        type='swin_dense.CompositeBackbone',
        backbones=[swin, swin],
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224_22k.pth')),
    neck=dict(in_channels=_base_.channels.base, global_attention=None))
# Without InstanceJitter.
train_pipeline = [
    step for step in _base_.train_pipeline
    if step.type != 'swin_dense.InstanceJitter'
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=5e-5))
auto_scale_lr = dict(base_batch_size=8)
tta = dict(
    _delete_=True,
    scales=[(1600, 1000), (1600, 1400), (1800, 1200), (1800, 1600)])
