# tools/dist_train.sh projects/simmim/configs/simmim_swinv2_b_imagenet_800ep.py 16
_base_ = './simmim_swin_b_imagenet_800ep.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='16 GPUs x 128 images',
    paper='arXiv 2111.09886; Swin V2-B, 800 epochs')
model = dict(
    norm_target_size=47,
    encoder=dict(
        type='SimMIMSwinTransformerV2', window_size=12, drop_path_rate=0.1))
