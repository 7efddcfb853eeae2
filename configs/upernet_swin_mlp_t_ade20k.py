# tools/dist_train.sh configs/upernet_swin_mlp_t_ade20k.py 8
_base_ = [
    './_base_/models/upernet_swin.py',
    './_base_/parts/swin_mlp.py',
    './_base_/datasets/ade20k.py',
    './_base_/schedules/schedule_160k.py',
    './_base_/runtime/seg_runtime.py',
]

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 2 images',
    paper='arXiv 2103.14030, official code of Swin-MLP-T/C24, at the schedule '
    'of Swin-T')
model = dict(
    backbone=dict(_base_.swin_mlp, _delete_=True, drop_path_rate=0.3))
