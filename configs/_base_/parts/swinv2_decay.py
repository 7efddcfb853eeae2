# Weight decay of Swin V2 in segmentation: only for matrices, except those of
# position biases.
swinv2_decay = dict(
    flat_decay_mult=0.,
    custom_keys={
        'absolute_pos_embed': dict(decay_mult=0.),
        'cpb_mlp': dict(decay_mult=0.),
        'logit_scale': dict(decay_mult=0.)
    })
