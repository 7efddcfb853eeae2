# tools/dist_train.sh configs/video_swin_b_k600_22k.py 8
_base_ = [
    './_base_/models/video_swin_22k.py',
    './_base_/datasets/kinetics600.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]

recipe = dict(
    published='top-1 84.0, top-5 96.5',
    measured=None,
    hardware='8 GPUs x 8 clips',
    paper='arXiv 2106.13230; Video Swin-B (ImageNet-22K) of its released '
    'models')
model = dict(cls_head=dict(num_classes=600))
optim_wrapper = dict(optimizer=dict(lr=3e-4, weight_decay=0.05))
