# tools/dist_train.sh projects/moby/configs/moby_swin_t_imagenet_300ep.py 8
_base_ = [
    './_base_/moby.py',
    '../../../configs/_base_/datasets/imagenet_unlabelled.py',
    '../../../configs/_base_/runtime/pretrain_runtime.py',
]

recipe = dict(
    published='ImageNet top-1 75.3, linear classifier',
    measured=None,
    hardware='8 GPUs x 64 images',
    paper='arXiv 2105.04553; Swin-T, 300 epochs')
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        pipeline=[
            dict(
                type='TwoViews', first=_base_.first_view,
                second=_base_.second_view)
        ]))

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.0005, begin=0, end=5, by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=5, end=300, T_max=295,
        eta_min_ratio=0.005, by_epoch=True, convert_to_iter_based=True)
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW', lr=1e-3, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=0.05),
    clip_grad=dict(max_norm=5.),
    constructor='swin_dense.PretrainingConstructor',
    paramwise_cfg=dict(decays_position_bias=False))
auto_scale_lr = dict(enable=False, base_batch_size=512)
