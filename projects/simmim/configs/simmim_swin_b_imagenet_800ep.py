# tools/dist_train.sh projects/simmim/configs/simmim_swin_b_imagenet_800ep.py 16
_base_ = [
    './_base_/simmim.py',
    './_base_/schedule_800e.py',
    '../../../configs/_base_/datasets/imagenet_unlabelled.py',
    '../../../configs/_base_/runtime/pretrain_runtime.py',
]

recipe = dict(
    published='ImageNet top-1 84.0, fine-tuned at 224 pixels',
    measured=None,
    hardware='16 GPUs x 128 images',
    paper='arXiv 2111.09886; Swin-B, 800 epochs')
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
