# tools/dist_train.sh configs/htcpp_swin_b_coco.py 8
_base_ = [
    './_base_/models/htcpp_swin.py',
    './_base_/parts/channels.py',
    './_base_/datasets/coco_htcpp.py',
    './_base_/schedules/schedule_6x.py',
    './_base_/runtime/default_runtime.py',
]

recipe = dict(
    published='box AP 56.4, mask AP 49.1',
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030, appendix A2.2; HTC++ Swin-B 6x (docs/htcpp.md)')
model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_base_patch4_window7_224_22k.pth')),
    neck=dict(in_channels=_base_.channels.base))
