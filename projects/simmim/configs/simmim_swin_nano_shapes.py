# python tools/train.py projects/simmim/configs/simmim_swin_nano_shapes.py
# A small model on generated images, trained in minutes.
_base_ = [
    './_base_/simmim.py',
    '../../../configs/_base_/datasets/shapes_unlabelled.py',
    '../../../configs/_base_/schedules/schedule_pretrain_quick.py',
    '../../../configs/_base_/runtime/pretrain_quick_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='2 CPU cores, minutes',
    paper=None)
# The backbone of the quick starts.
model = dict(
    encoder=dict(
        arch=None, embed_dims=32, depths=[2, 2, 2], num_heads=[1, 2, 4],
        img_size=128, window_size=8))

# Crops of about 128 pixels, so that shapes keep their size; 39 of 64 cells are
# masked.
crop, flip, mask, pack = _base_.train_pipeline
train_pipeline = [
    dict(crop, size=128, scale=(0.2, 0.3)), flip,
    dict(mask, img_size=128, cell_size=16), pack
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
