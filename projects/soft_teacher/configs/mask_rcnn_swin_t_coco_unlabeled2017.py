# tools/dist_train.sh projects/soft_teacher/configs/mask_rcnn_swin_t_coco_unlabeled2017.py 8
# All of COCO train2017 has labels, unlabeled2017 has none.
_base_ = './mask_rcnn_swin_t_coco_10.py'

recipe = dict(
    hardware='8 GPUs x 8 images, half of them labelled',
    paper='arXiv 2106.09018, all of COCO and unlabeled2017: thresholds, '
    'views, schedule; Swin, its optimizer and masks are our reading')
model = dict(semi_train_cfg=dict(unsup_weight=2.))
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[1, 1]),
    dataset=dict(
        labelled=dict(ann_file='annotations/instances_train2017.json'),
        unlabelled=_base_.unlabeled2017))

max_iters = _base_.full_iters
train_cfg = dict(max_iters=max_iters)
param_scheduler = _base_.full_schedule
