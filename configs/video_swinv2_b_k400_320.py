# tools/dist_train.sh configs/video_swinv2_b_k400_320.py 8
_base_ = ['./video_swinv2_t_k400_320.py', './_base_/parts/channels.py']

recipe = dict(
    published=None,
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2111.09883, appendix: second stage of SwinV2-G on '
    'Kinetics-400, here SwinV2-B')
load_from = 'work_dirs/video_swinv2_b_k400/epoch_20.pth'
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.3),
    cls_head=dict(in_channels=_base_.channels.base[-1]))
