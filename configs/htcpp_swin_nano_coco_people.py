# python tools/train.py configs/htcpp_swin_nano_coco_people.py
# A small HTC++ without semantic branch that learns a handful of photographs by
# heart: a test of the whole path on real photographs.
_base_ = [
    './_base_/models/htcpp_swin.py',
    './_base_/datasets/coco_people.py',
    './_base_/schedules/schedule_people.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP50 above 0.9, mask AP50 above 0.8 on the images it was '
    'trained on',
    hardware='2 CPU cores, minutes',
    paper=None)
boxes = dict(
    num_shared_convs=0, num_shared_fcs=2, in_channels=64, fc_out_channels=256,
    num_classes=1, norm_cfg=None)
masks = dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=1)
few = dict(
    type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1,
    add_gt_as_proposals=True)
roi_head, rcnn = _base_.model.roi_head, _base_.model.train_cfg.rcnn
model = dict(
    backbone=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8],
        drop_path_rate=0., init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    rpn_head=dict(
        in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        semantic_head=None,
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=[dict(head, **boxes) for head in roi_head.bbox_head],
        mask_roi_extractor=dict(out_channels=64),
        mask_head=[dict(head, **masks) for head in roi_head.mask_head]),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=[dict(stage, sampler=few) for stage in rcnn]),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)))
