# tools/dist_train.sh configs/htcpp_cb_swin_l_coco.py 8
_base_ = './htcpp_cb_swin_b_coco.py'

recipe = dict(
    published='box AP 59.1, mask AP 51.0 (59.6, 51.8 with --tta)',
    measured=None,
    hardware='8 GPUs x 1 image',
    paper='arXiv 2107.00420; HTC CB-Swin-L 1x of its released models')
swin = dict(
    type='swin_dense.SwinTransformer', arch='large', drop_path_rate=0.2)
model = dict(
    backbone=dict(
        backbones=[swin, swin],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window7_224_22k.pth')),
    neck=dict(in_channels=_base_.channels.large))
train_cfg = dict(max_epochs=12)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=12, milestones=[8, 11])
]
