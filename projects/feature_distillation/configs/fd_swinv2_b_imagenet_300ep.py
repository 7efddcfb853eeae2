# tools/dist_train.sh projects/feature_distillation/configs/fd_swinv2_b_imagenet_300ep.py 16
_base_ = [
    '../../../configs/_base_/datasets/imagenet_unlabelled.py',
    '../../../configs/_base_/runtime/pretrain_runtime.py',
]

recipe = dict(
    published='ImageNet top-1 85.1, fine-tuned at 224 pixels',
    measured=None,
    hardware='16 GPUs x 128 images',
    paper='arXiv 2205.14141; Swin V2-B, EsViT Swin-B as teacher')
custom_imports = dict(imports=['projects.feature_distillation.model'])

model = dict(
    type='FeatureDistillation',
    data_preprocessor=dict(type='swin_dense.ImagePreprocessor'),
    encoder=dict(
        type='SwinV2Encoder',
        arch='base',
        img_size=224,
        window_size=14,
        drop_path_rate=0.3,
        branch_norm_init=1e-5),
    rescales_branches=True,
    teacher_channels=1024,
    # The teacher's weights, see the README.
    teacher=dict(
        type='SwinEncoder',
        arch='base',
        img_size=224,
        window_size=14,
        shrink_tables=True,
        init_cfg=dict(
            type='Pretrained', checkpoint='checkpoints/esvit_swin_base.pth')))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomResizedCrop', size=224, scale=(0.08, 1.)),
            dict(type='HorizontalFlip', prob=0.5),
            dict(type='PackImages')
        ]))

# Learning rates are those of batch 512, times 4.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=300)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.005, begin=0, end=10, by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=10, end=300, T_max=290,
        eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True)
]
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW', lr=8e-4, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=0.05),
    clip_grad=dict(max_norm=3.),
    constructor='swin_dense.PretrainingConstructor',
    paramwise_cfg=dict(decays_position_bias=False))
auto_scale_lr = dict(enable=False, base_batch_size=2048)
