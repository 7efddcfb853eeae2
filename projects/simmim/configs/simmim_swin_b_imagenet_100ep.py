# tools/dist_train.sh projects/simmim/configs/simmim_swin_b_imagenet_100ep.py 16
_base_ = './simmim_swin_b_imagenet_800ep.py'

recipe = dict(
    published='ImageNet top-1 83.5, fine-tuned at 224 pixels',
    measured=None,
    hardware='16 GPUs x 128 images',
    paper='arXiv 2111.09886; Swin-B, 100 epochs')
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.005, begin=0, end=10, by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=10, end=100, T_max=90,
        eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True)
]
