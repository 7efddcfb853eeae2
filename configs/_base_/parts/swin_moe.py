# The backbone of all Swin-MoE recipes, a Swin-MoE-S with 8 experts and windows
# of 12. The last stage was pre-trained on maps of 6 tokens.
swin_moe = dict(
    type='swin_dense.SwinMoE',
    arch='small',
    num_experts=8,
    window_size=12,
    pretrained_window_sizes=[12, 12, 12, 6],
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.2,
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/'
        'download/v2.0.2/swin_moe_small_patch4_window12_192_8expert_32gpu_22k'
        '.zip'))
# No weight decay for position biases, the biases of experts, and what a cosine
# router learns, as in the official code.
swin_moe_decay = {
    'cpb_mlp': dict(decay_mult=0.),
    'fc1_bias': dict(decay_mult=0.),
    'fc2_bias': dict(decay_mult=0.),
    'temperature': dict(decay_mult=0.),
    'cosine_projector': dict(decay_mult=0.),
    'sim_matrix': dict(decay_mult=0.)
}
