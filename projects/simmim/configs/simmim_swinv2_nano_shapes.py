# python tools/train.py projects/simmim/configs/simmim_swinv2_nano_shapes.py
# A small model on generated images, trained in minutes.
_base_ = './simmim_swin_nano_shapes.py'

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
# The backbone of the quick start of Swin V2, with its initialisation.
model = dict(
    norm_target_size=47,
    encoder=dict(
        _delete_=True,
        type='SimMIMSwinTransformerV2',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        img_size=128,
        window_size=8,
        drop_path_rate=0.,
        branch_norm_init=0.5,
        logit_scale_init=1.,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')))
