# tools/dist_train.sh projects/simmim/configs/simmim_swin_l_imagenet_800ep.py 16
_base_ = './simmim_swin_b_imagenet_800ep.py'

recipe = dict(
    published='ImageNet top-1 85.4, fine-tuned at 224 pixels',
    measured=None,
    hardware='16 GPUs x 128 images',
    paper='arXiv 2111.09886; Swin-L, 800 epochs')
model = dict(encoder=dict(arch='large', window_size=12))
