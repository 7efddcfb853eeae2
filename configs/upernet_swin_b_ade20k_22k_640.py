# tools/dist_train.sh configs/upernet_swin_b_ade20k_22k_640.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/channels.py',
    './_base_/datasets/ade20k_640.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published='mIoU 50.04, 51.66 with --tta',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030; UPerNet Swin-B at 640, a row without a '
    'released config')
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224_22k.pth')),
    decode_head=dict(in_channels=_base_.channels.base),
    auxiliary_head=dict(in_channels=_base_.channels.base[2]))
