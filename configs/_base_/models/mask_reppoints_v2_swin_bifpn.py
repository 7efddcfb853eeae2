# Mask RepPoints V2: RepPoints V2, and masks by dynamic convolutions.
_base_ = './reppoints_v2_swin_bifpn.py'

model = dict(
    data_preprocessor=dict(pad_mask=True),
    bbox_head=dict(
        type='swin_dense.MaskRepPointsV2Head',
        mask_channels=128,
        mask_features=8,
        mask_levels=3,
        mask_convs=4,
        mask_stride=4,
        max_masks=500,
        mask_norm_cfg=dict(type='BN', requires_grad=True)),
    train_cfg=dict(
        init=dict(assigner=dict(type='swin_dense.CenterPointAssigner')),
        refine=dict(assigner=dict(type='swin_dense.CenterATSSAssigner'))),
    test_cfg=dict(mask_thr_binary=0.5))
