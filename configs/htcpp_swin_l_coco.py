# tools/dist_train.sh configs/htcpp_swin_l_coco.py 8
# COCO val2017, published: box AP 57.1, mask AP 49.5 (58.0, 50.4 with --tta); not measured here yet
# 8 GPUs x 2 images; hours not measured here
# arXiv 2103.14030, appendix A2.2, and its README; HTC++ Swin-L 3x (docs/htcpp.md)
_base_ = [
    './_base_/models/htcpp_swin.py',
    './_base_/datasets/coco_htcpp.py',
    './_base_/schedules/schedule_3x.py',
    './_base_/runtime/default_runtime.py',
]

model = dict(
    backbone=dict(
        arch='large',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/'
            'download/v1.0.0/swin_large_patch4_window7_224_22k.pth')),
    neck=dict(in_channels=[192, 384, 768, 1536]))
