# What all trainings with Soft Teacher share: settings of the paper, and what
# its published configs do to an image, in mmdet's transforms.
semi_train_cfg = dict(
    sup_weight=1.,
    unsup_weight=4.,
    pseudo_label_initial_score_thr=0.5,
    rpn_pseudo_thr=0.9,
    cls_pseudo_thr=0.9,
    reg_pseudo_thr=0.02,
    jitter_times=10,
    jitter_scale=0.06)
mean_teacher = dict(type='swin_dense.MeanTeacher', momentum=0.999)

colour = dict(type='swin_dense.ColourChange')
geometry = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='TranslateX', max_mag=0.1, img_border_value=125)],
        [dict(type='TranslateY', max_mag=0.1, img_border_value=125)],
        [dict(type='Rotate', max_mag=30., img_border_value=125)],
        [
            dict(type='ShearX', max_mag=30., img_border_value=125),
            dict(type='ShearY', max_mag=30., img_border_value=125)
        ],
    ])
# One to four patches of at most a fifth of the height and width.
erasing = dict(
    type='RandomErasing', n_patches=(1, 4), ratio=(0., 0.2),
    img_border_value=125)
strong_changes = [
    dict(type='RandomOrder', transforms=[colour, geometry]), erasing
]
pack = dict(
    type='PackDetInputs',
    meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor',
               'homography_matrix'))
branches = ['sup', 'unsup_teacher', 'unsup_student']
