# tools/dist_train.sh configs/mask_rcnn_mini_swin_nano_shapes.py 2
# A small model for a quick start, trained in minutes.
_base_ = [
    './_base_/models/mask_rcnn_swin_nano.py',
    './_base_/datasets/shapes_instance.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]

recipe = dict(
    published=None,
    measured='box AP 0.483, mask AP 0.508 on generated shapes',
    hardware='2 CPU cores, minutes',
    paper=None)
model = dict(
    backbone=dict(
        _delete_=True,
        type='swin_dense.MiniSwin',
        arch=dict(
            embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
            blocks=[1, 1, 1]),
        window_size=8,
        drop_path_rate=0.,
        out_indices=(0, 1, 2),
        # Trained from scratch, so without the masks of official weights.
        mask_unshifted=False,
        init_cfg=dict(type='Xavier', layer='Linear', distribution='normal')))
