# tools/dist_train.sh configs/cascade_swin_nano_shapes.py 2
# A small model for a quick start, trained within five minutes.
_base_ = [
    './_base_/models/cascade_mask_rcnn_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, 4 minutes: the training of `make demo`',
    paper=None)

# Images, anchors and heads are smaller than in the other quick starts: more
# steps in the same time reach more.
channels = 48
proposals = dict(nms_pre=200, max_per_img=100)
model = dict(
    backbone=dict(
        # Narrow models learn faster with larger initial weights.
        init_cfg=dict(
            _delete_=True, type='Xavier', layer='Linear',
            distribution='normal')),
    neck=dict(out_channels=channels),
    rpn_head=dict(
        in_channels=channels, feat_channels=channels,
        anchor_generator=dict(scales=[6])),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=2), out_channels=channels),
        bbox_head=[
            dict(head, in_channels=channels)
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_roi_extractor=dict(out_channels=channels),
        mask_head=dict(in_channels=channels)),
    train_cfg=dict(rpn_proposal=proposals),
    test_cfg=dict(rpn=proposals))

resize = dict(type='Resize', scale=(192, 192), keep_ratio=True)
load, annotations, *rest = _base_.train_pipeline
train_pipeline = [load, annotations, resize, *rest]
load, _, *rest = _base_.test_pipeline
test_pipeline = [load, resize, *rest]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 900
warm_up, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=50),
    dict(cosine, begin=50, end=max_iters, T_max=max_iters - 50)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
