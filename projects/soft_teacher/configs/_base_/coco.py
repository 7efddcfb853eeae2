# Pipelines and schedule for COCO, as in the published configs.
_base_ = './soft_teacher.py'

load = dict(type='LoadImageFromFile')
weak_changes = [
    dict(
        type='RandomResize', scale=[(1333, 400), (1333, 1200)],
        keep_ratio=True),
    dict(type='RandomFlip', prob=0.5)
]
labelled_changes = [
    *weak_changes, _base_.colour,
    dict(
        type='MultiBranch',
        branch_field=_base_.branches,
        sup=dict(type='PackDetInputs'))
]
labelled_pipeline = [
    load,
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *labelled_changes
]
unlabelled_pipeline = [
    load,
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=_base_.branches,
        unsup_teacher=[*weak_changes, _base_.pack],
        unsup_student=[*weak_changes, *_base_.strong_changes, _base_.pack])
]

warm_up = dict(
    type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500)
steps = dict(
    type='MultiStepLR', by_epoch=False, begin=0, end=180000,
    milestones=[120000, 160000], gamma=0.1)
loop = dict(
    type='IterBasedTrainLoop', max_iters=180000, val_interval=4000)
val_loop = dict(type='TeacherStudentValLoop')
checkpoints = dict(
    by_epoch=False, interval=4000, max_keep_ckpts=2,
    save_best='student/coco/bbox_mAP')
hooks = [
    _base_.mean_teacher,
    dict(type='swin_dense.PseudoBoxHook', interval=4000)
]

# With all of train2017 labelled, and unlabeled2017.
full_iters = 720000
full_schedule = [
    warm_up,
    dict(steps, end=full_iters, milestones=[480000, 640000])
]
unlabeled2017 = dict(
    ann_file='annotations/image_info_unlabeled2017.json',
    data_prefix=dict(img='unlabeled2017/'))
