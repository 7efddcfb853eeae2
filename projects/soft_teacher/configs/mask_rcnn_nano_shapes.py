# python tools/train.py projects/soft_teacher/configs/mask_rcnn_nano_shapes.py
# 50 labelled and 1000 unlabelled images of generated shapes.
_base_ = ['./mask_rcnn_nano_shapes_labelled.py', './_base_/soft_teacher.py']

recipe = dict(
    published=None,
    measured='box AP 0.136, mask AP 0.158 on generated shapes, '
    'the mean of three seeds',
    hardware='2 CPU cores, minutes',
    paper='arXiv 2106.09018; masks are our reading')
detector = _base_.model
model = dict(
    _delete_=True,
    type='swin_dense.SoftTeacher',
    detector=detector,
    data_preprocessor=dict(
        type='MultiBranchDataPreprocessor',
        data_preprocessor=detector.data_preprocessor),
    # The weight of the published training with as many labelled as unlabelled
    # images in a batch. The backbone has random weights, so that the first
    # teacher finds nothing.
    semi_train_cfg=dict(_base_.semi_train_cfg, unsup_weight=2., burn_in=350),
    semi_test_cfg=dict(predict_on='student'))
custom_hooks = [
    *_base_.custom_hooks,
    # The mean of about 100 students: the training is short.
    dict(_base_.mean_teacher, momentum=0.99),
    dict(type='swin_dense.PseudoBoxHook', interval=100)
]
val_cfg = dict(type='TeacherStudentValLoop')

load, annotations, resize, turn, pack_labelled = _base_.train_pipeline
labelled_pipeline = [
    load, annotations, resize, turn,
    dict(type='MultiBranch', branch_field=_base_.branches, sup=pack_labelled)
]
unlabelled_pipeline = [
    load,
    dict(type='LoadEmptyAnnotations'), resize,
    dict(
        type='MultiBranch',
        branch_field=_base_.branches,
        unsup_teacher=[turn, _base_.pack],
        unsup_student=[turn, *_base_.strong_changes, _base_.pack])
]
shapes = _base_.train_dataloader.dataset
train_dataloader = dict(
    batch_size=8,
    sampler=dict(
        _delete_=True, type='MultiSourceSampler', batch_size=8,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='swin_dense.SemiSupervisedDataset',
        labelled=dict(shapes, pipeline=labelled_pipeline),
        unlabelled=dict(
            shapes,
            indices=list(range(50, 1050)),
            pipeline=unlabelled_pipeline)))
