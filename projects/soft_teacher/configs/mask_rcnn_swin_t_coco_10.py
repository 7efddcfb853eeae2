# tools/dist_train.sh projects/soft_teacher/configs/mask_rcnn_swin_t_coco_10.py 8
# 10 % of COCO have labels; split_coco.py writes the annotation files.
_base_ = ['../../../configs/mask_rcnn_swin_t_coco.py', './_base_/coco.py']

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 5 images, one of them labelled',
    paper='arXiv 2106.09018, 10 % of COCO: thresholds, views, schedule; Swin, '
    'its optimizer and masks are our reading')
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

part = 'annotations/instances_train2017.1@10'
train_dataloader = dict(
    batch_size=5,
    num_workers=5,
    sampler=dict(
        _delete_=True, type='GroupMultiSourceSampler', batch_size=5,
        source_ratio=[1, 4]),
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type='swin_dense.SemiSupervisedDataset',
        labelled=dict(
            _base_.train_dataloader.dataset,
            ann_file=f'{part}.json',
            pipeline=_base_.labelled_pipeline),
        unlabelled=dict(
            type='CocoDataset',
            data_root=_base_.data_root,
            ann_file=f'{part}-unlabelled.json',
            data_prefix=dict(img='train2017/'),
            pipeline=_base_.unlabelled_pipeline)))

train_cfg = dict(_base_.loop, _delete_=True)
val_cfg = _base_.val_loop
param_scheduler = [_base_.warm_up, _base_.steps]
default_hooks = dict(checkpoint=_base_.checkpoints)
log_processor = dict(by_epoch=False)
custom_hooks = [*_base_.custom_hooks, *_base_.hooks]
