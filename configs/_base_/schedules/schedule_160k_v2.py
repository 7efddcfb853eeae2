_base_ = ['./schedule_160k.py', '../parts/swinv2_decay.py']

# 160k iterations for Swin V2, with a learning rate that decays layer by layer
# from the output to the input.
optim_wrapper = dict(
    constructor='swin_dense.LayerDecayConstructor',
    optimizer=dict(lr=4e-5, weight_decay=0.05),
    paramwise_cfg=dict(
        _base_.swinv2_decay, _delete_=True, layer_decay_rate=0.95))
