# tools/dist_train.sh projects/soft_teacher/configs/htcpp_swin_l_coco_unlabeled2017.py 8
# All of COCO train2017 has labels, unlabeled2017 has none.
_base_ = ['../../../configs/htcpp_swin_l_coco.py', './_base_/coco.py']

recipe = dict(
    published='box AP 60.4, mask AP 52.4 (test-dev, --tta)',
    measured=None,
    hardware='8 GPUs x 2 images, half of them labelled',
    paper='arXiv 2106.09018, HTC++ Swin-L and unlabeled2017. No config, log '
    'or weights of it were released: all settings are our reading')
detector = _base_.model
model = dict(
    _delete_=True,
    type='swin_dense.SoftTeacher',
    detector=detector,
    data_preprocessor=dict(
        type='MultiBranchDataPreprocessor',
        data_preprocessor=detector.data_preprocessor),
    semi_train_cfg=dict(_base_.semi_train_cfg, unsup_weight=2.),
    semi_test_cfg=dict(predict_on='student'))

train_dataloader = dict(
    batch_size=2,
    sampler=dict(
        _delete_=True, type='GroupMultiSourceSampler', batch_size=2,
        source_ratio=[1, 1]),
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type='swin_dense.SemiSupervisedDataset',
        labelled=dict(
            _base_.train_dataloader.dataset,
            pipeline=[*_base_.train_pipeline[:2], *_base_.labelled_changes]),
        unlabelled=dict(
            type='CocoDataset',
            data_root=_base_.data_root,
            **_base_.unlabeled2017,
            pipeline=_base_.unlabelled_pipeline)))

max_iters = _base_.full_iters
train_cfg = dict(_base_.loop, _delete_=True, max_iters=max_iters)
val_cfg = _base_.val_loop
param_scheduler = _base_.full_schedule
default_hooks = dict(checkpoint=_base_.checkpoints)
log_processor = dict(by_epoch=False)
custom_hooks = [*_base_.custom_hooks, *_base_.hooks]
