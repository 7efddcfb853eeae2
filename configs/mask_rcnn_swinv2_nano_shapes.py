# tools/dist_train.sh configs/mask_rcnn_swinv2_nano_shapes.py 2
# Generated shapes, measured: box AP 0.231, mask AP 0.267
# 2 CPU cores, minutes
# No reference: a small model that shows all parts at work
_base_ = [
    './_base_/models/mask_rcnn_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.SwinTransformerV2',
        arch=dict(embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4]),
        window_size=8,
        drop_path_rate=0.,
        out_indices=(0, 1, 2),
        # Branches at full strength, and weights as large as narrow layers
        # need: from the official start so short a training gets nowhere.
        branch_norm_init=1.,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')))
