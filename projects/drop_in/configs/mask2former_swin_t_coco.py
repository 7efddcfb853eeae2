_base_ = 'mmdet::mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py'

model = dict(backbone=dict(type='swin_dense.SwinTransformer'))
# The host lists norms without weight decay by its backbone's parameter names.
_norm = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            '.norm1.weight': _norm,
            '.norm1.bias': _norm,
            '.norm2.weight': _norm,
            '.norm2.bias': _norm,
            '.downsample.norm': _norm,
        }
    )
)
