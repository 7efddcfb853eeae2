# The cascade of the quick start, on the images of the quick start of HTC++.
_base_ = [
    '../../configs/_base_/models/cascade_mask_rcnn_swin_nano.py',
    '../../configs/_base_/datasets/shapes_stuff.py',
    '../../configs/_base_/schedules/schedule_quick.py',
    '../../configs/_base_/runtime/quick_runtime.py',
]

# Without label maps and moved objects.
load, annotations, _, *rest = _base_.train_pipeline
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(seg=None),
        pipeline=[load, dict(annotations, with_seg=False), *rest],
    )
)
