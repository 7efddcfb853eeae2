# python tools/train.py projects/feature_distillation/configs/fd_swinv2_nano_shapes.py
# A small model on generated images, trained in minutes. The teacher is the
# backbone of the quick start of Mask R-CNN.
_base_ = [
    '../../../configs/_base_/datasets/shapes_unlabelled.py',
    '../../../configs/_base_/schedules/schedule_pretrain_quick.py',
    '../../../configs/_base_/runtime/pretrain_quick_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
custom_imports = dict(imports=['projects.feature_distillation.model'])

sizes = dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4])
model = dict(
    type='FeatureDistillation',
    data_preprocessor=dict(type='swin_dense.ImagePreprocessor'),
    # Initialised as in the quick start of Swin V2.
    encoder=dict(
        type='SwinV2Encoder',
        arch=sizes,
        img_size=128,
        window_size=8,
        drop_path_rate=0.,
        branch_norm_init=0.5,
        logit_scale_init=1.,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')),
    rescales_branches=False,
    teacher_channels=128,
    teacher=dict(
        type='SwinTransformer',
        arch=None,
        **sizes,
        window_size=8,
        out_indices=(2, ),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mask_rcnn_swin_nano_shapes/iter_1300.pth')))

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='RandomResizedCrop', size=128, scale=(0.2, 0.3)),
            dict(type='HorizontalFlip', prob=0.5),
            dict(type='PackImages')
        ]))
optim_wrapper = dict(clip_grad=dict(max_norm=3.))
