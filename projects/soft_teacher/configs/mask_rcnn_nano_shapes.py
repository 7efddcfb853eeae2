# python tools/train.py projects/soft_teacher/configs/mask_rcnn_nano_shapes.py
# 50 labelled and 1000 unlabelled images of generated shapes.
_base_ = [
    '../../../configs/mask_rcnn_swin_nano_shapes.py',
    './_base_/soft_teacher.py',
]

recipe = dict(
    published=None,
    measured=None,
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
    semi_train_cfg=_base_.semi_train_cfg,
    semi_test_cfg=dict(predict_on='student'))
custom_hooks = [
    *_base_.custom_hooks, _base_.mean_teacher,
    dict(type='swin_dense.PseudoBoxHook', interval=300)
]
val_cfg = dict(type='TeacherStudentValLoop')

data_root = 'data/shapes_semi/'
load, annotations, turn, pack_labelled = _base_.train_pipeline
labelled_pipeline = [
    load, annotations, turn,
    dict(type='MultiBranch', branch_field=_base_.branches, sup=pack_labelled)
]
unlabelled_pipeline = [
    load,
    dict(type='LoadEmptyAnnotations'),
    dict(
        type='MultiBranch',
        branch_field=_base_.branches,
        unsup_teacher=[turn, _base_.pack],
        unsup_student=[turn, *_base_.strong_changes, _base_.pack])
]
shapes = dict(
    _base_.train_dataloader.dataset,
    data_root=data_root,
    generate=dict(num_images=1050, image_size=256, seed=0))
train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='MultiSourceSampler', batch_size=4,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='swin_dense.SemiSupervisedDataset',
        labelled=dict(shapes, indices=50, pipeline=labelled_pipeline),
        unlabelled=dict(
            shapes,
            indices=list(range(50, 1050)),
            pipeline=unlabelled_pipeline)))
