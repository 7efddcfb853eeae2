# tools/dist_train.sh configs/htcpp_swin_nano_shapes.py 2
# Generated shapes with label maps, measured: box AP 0.424, mask AP 0.474
# (mean of seeds 0 to 2 in one process: projects/htcpp_ablation)
# 2 CPU cores, minutes
# No reference: a small model that shows all parts at work
_base_ = [
    './_base_/models/htcpp_swin_nano.py',
    './_base_/datasets/shapes_stuff.py',
    './_base_/schedules/schedule_quick.py',
    './_base_/runtime/quick_runtime.py',
]
