# tools/dist_train.sh configs/video_swin_b_k600_22k.py 8
# Kinetics-600 val, published: top-1 84.0, top-5 96.5; not measured here yet
# 8 GPUs x 8 clips; hours not measured here
# arXiv 2106.13230; Video Swin-B (ImageNet-22K) of its released models
_base_ = [
    './_base_/models/video_swin_22k.py',
    './_base_/datasets/kinetics600.py',
    './_base_/schedules/schedule_30e_video.py',
    './_base_/runtime/video_runtime.py',
]

model = dict(cls_head=dict(num_classes=600))
optim_wrapper = dict(optimizer=dict(lr=3e-4, weight_decay=0.05))
