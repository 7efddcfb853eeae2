# python tools/train.py configs/mask_rcnn_swin_nano_coco_people.py
# A small Mask R-CNN that learns a handful of photographs by heart: a test of
# the whole path on real photographs.
_base_ = [
    './_base_/models/mask_rcnn_swin_fpn.py',
    './_base_/datasets/coco_people.py',
    './_base_/schedules/schedule_people.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP50 above 0.9, mask AP50 above 0.8 on the images it was '
    'trained on',
    hardware='2 CPU cores, 2.5 minutes',
    paper=None)
model = dict(
    backbone=dict(
        arch=None,
        embed_dims=32,
        depths=[2, 2, 2, 2],
        num_heads=[1, 2, 4, 8],
        drop_path_rate=0.,
        init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    rpn_head=dict(
        in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(
            num_convs=2, in_channels=64, conv_out_channels=64,
            num_classes=1)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=128))),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)))
