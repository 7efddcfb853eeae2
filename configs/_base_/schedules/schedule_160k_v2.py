_base_ = './schedule_160k.py'

# Swin V2 decays matrices alone, and not those of position biases; each block
# learns slower than the one after it.
optim_wrapper = dict(
    constructor='swin_dense.LayerDecayConstructor',
    optimizer=dict(lr=4e-5, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.95,
        flat_decay_mult=0.,
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.),
            'cpb_mlp': dict(decay_mult=0.),
            'logit_scale': dict(decay_mult=0.)
        }))
